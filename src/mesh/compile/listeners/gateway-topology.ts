// What stands in front of a gateway: as its own proxy configuration says (annotation `proxy.istio.io/config`), else as the
// mesh's does.
import type { GatewayTopology } from "../../objects/fields/gateway-topology.ts";
import { decodeGatewayTopology } from "../../objects/fields/gateway-topology.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";
import type { HttpConnectionManagerSettings } from "../filters/http-connection-manager.ts";

export function gatewayTopology(snapshot: MeshSnapshot, proxy: ProxyNode): GatewayTopology {
  const config = proxy.metadata["PROXY_CONFIG"];
  const own = typeof config === "object" && config !== null && "gatewayTopology" in config && config["gatewayTopology"];
  const decoded = own ? decodeGatewayTopology(own, undefined, () => {}) : undefined;
  return decoded ?? snapshot.meshConfig.defaultConfig.gatewayTopology;
}

/** How far a gateway believes `x-forwarded-for` and `x-forwarded-client-cert`. */
export function gatewayHops(
  snapshot: MeshSnapshot,
  proxy: ProxyNode,
): Required<Pick<HttpConnectionManagerSettings, "trustedHops" | "forwardClientCertDetails">> {
  const { numTrustedProxies, forwardClientCertDetails } = gatewayTopology(snapshot, proxy);
  return { trustedHops: numTrustedProxies, forwardClientCertDetails };
}
