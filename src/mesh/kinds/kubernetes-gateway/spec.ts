// Gateway of the Gateway API as decoded.
import type { Listener, RouteNamespaces } from "../../objects/fields/listener.ts";
import type { ObjectReference } from "../../objects/fields/route-reference.ts";
import type { Labels } from "../../objects/fields/selector.ts";

export interface KubernetesGatewaySpec {
  readonly gatewayClassName: string;
  readonly listeners: readonly Listener[];
  readonly addresses: readonly GatewayAddress[];
  readonly infrastructure?: GatewayInfrastructure;
  readonly allowedListeners?: { readonly namespaces?: RouteNamespaces };
  readonly tls?: GatewayTls;
  readonly defaultScope?: string;
}

export interface GatewayAddress {
  readonly type: string;
  readonly value: string;
}

export interface GatewayInfrastructure {
  readonly labels: Labels;
  readonly annotations: Readonly<Record<string, string>>;
  readonly parametersRef?: { readonly group: string; readonly kind: string; readonly name: string };
}

export interface GatewayTls {
  readonly frontend?: FrontendTls;
  readonly backend?: BackendTls;
}

/** Which certificates clients have to show at listeners that end TLS. */
interface FrontendTls {
  readonly default?: PortTls;
  /** Stands in place of the default, also where it has no validation. */
  readonly perPort: readonly { readonly port: number; readonly tls?: PortTls }[];
}

interface PortTls {
  readonly validation?: FrontendValidation;
}

export interface FrontendValidation {
  readonly caCertificateRefs: readonly ObjectReference[];
  /** AllowInsecureFallback lets in who has no certificate, or one that the roots do not vouch for. */
  readonly mode: "AllowValidOnly" | "AllowInsecureFallback";
}

interface BackendTls {
  /** What backends of BackendTLSPolicies are shown. */
  readonly clientCertificateRef?: ObjectReference;
}
