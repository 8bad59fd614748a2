// Gateway (networking.istio.io) as decoded.
import type { Port } from "../../objects/fields/port.ts";
import type { Labels } from "../../objects/fields/selector.ts";
import type { ServerTlsSettings } from "../../objects/fields/server-tls.ts";

export interface GatewaySpec {
  /** Labels of gateway pods; empty selects every workload. */
  readonly selector: Labels;
  readonly servers: readonly Server[];
  /** Of Gateways that are made from the Gateway API's: the secret that backends of BackendTLSPolicies are shown. */
  readonly backendCertificate?: string;
}

export interface Server {
  readonly name: string;
  readonly port: Port;
  /** IP or `unix://`; empty binds all addresses. */
  readonly bind: string;
  /** `[namespace/]dnsName`; the namespace may be `*` or `.`. */
  readonly hosts: readonly string[];
  readonly tls?: ServerTlsSettings;
  readonly defaultEndpoint: string;
}
