// The Service in front of a Gateway: made for it, or named by its addresses.
import type { KubernetesGatewaySpec } from "../kinds/kubernetes-gateway/spec.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import type { ApiProblem } from "./conditions.ts";
import { serviceHostname } from "./input.ts";

type Gateway = MeshObject<KubernetesGatewaySpec>;

/** Tells whether the mesh deploys the gateway: it does unless addresses name a Service that is there. */
export function isManaged({ addresses }: KubernetesGatewaySpec): boolean {
  const [only, ...others] = addresses;
  return only === undefined || (others.length === 0 && only.type === "IPAddress");
}

/** The name of the Deployment, Service and ServiceAccount: `<gateway>-<class>`, or what the annotation says. */
export function deploymentName(gateway: {
  readonly name: string;
  readonly metadata: Gateway["metadata"];
  readonly spec: { readonly gatewayClassName: string };
}): string {
  const override = gateway.metadata.annotations?.["gateway.istio.io/name-override"];
  return override || `${gateway.name}-${gateway.spec.gatewayClassName}`;
}

export interface GatewayServices {
  readonly hostnames: readonly string[];
  readonly problem?: ApiProblem;
}

export function gatewayServices(gateway: Gateway, domain: string): GatewayServices {
  const { spec, namespace } = gateway;
  if (isManaged(spec)) return { hostnames: [serviceHostname(deploymentName(gateway), namespace, domain)] };
  const named = spec.addresses.filter(({ type }) => type === "Hostname");
  const others = spec.addresses.filter(({ type }) => type !== "Hostname").map(({ value }) => value);
  const hostnames = named.map(({ value }) =>
    value.includes(".") ? value.toLowerCase() : serviceHostname(value, namespace, domain),
  );
  if (others.length === 0) return { hostnames };
  const message = `only addresses of type Hostname can be combined; ${others.join(", ")} is ignored`;
  return { hostnames, problem: { reason: "UnsupportedAddress", message } };
}
