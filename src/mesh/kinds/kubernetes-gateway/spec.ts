// Gateway of the Gateway API as decoded.
import type { ObjectReference } from "../../objects/fields/route-reference.ts";
import type { KubernetesSelector, Labels } from "../../objects/fields/selector.ts";

export interface KubernetesGatewaySpec {
  readonly gatewayClassName: string;
  readonly listeners: readonly Listener[];
  readonly addresses: readonly GatewayAddress[];
  readonly infrastructure?: GatewayInfrastructure;
  readonly allowedListeners?: { readonly namespaces?: RouteNamespaces };
  readonly tls?: unknown;
  readonly defaultScope?: string;
}

export interface Listener {
  readonly name: string;
  /** Empty means every host. */
  readonly hostname: string;
  readonly port: number;
  /** HTTP, HTTPS, TLS, TCP; others are refused in the status. */
  readonly protocol: string;
  readonly tls?: ListenerTls;
  readonly allowedRoutes?: AllowedRoutes;
}

export interface ListenerTls {
  readonly mode: "Terminate" | "Passthrough";
  readonly certificateRefs: readonly ObjectReference[];
  readonly options: Readonly<Record<string, string>>;
}

export interface AllowedRoutes {
  readonly namespaces?: RouteNamespaces;
  readonly kinds: readonly RouteKind[];
}

export interface RouteNamespaces {
  readonly from: "All" | "Selector" | "Same" | "None";
  readonly selector?: KubernetesSelector;
}

export interface RouteKind {
  readonly group: string;
  readonly kind: string;
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
