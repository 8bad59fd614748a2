// Gateway of the Gateway API as decoded.
import type { Listener, RouteNamespaces } from "../../objects/fields/listener.ts";
import type { Labels } from "../../objects/fields/selector.ts";

export interface KubernetesGatewaySpec {
  readonly gatewayClassName: string;
  readonly listeners: readonly Listener[];
  readonly addresses: readonly GatewayAddress[];
  readonly infrastructure?: GatewayInfrastructure;
  readonly allowedListeners?: { readonly namespaces?: RouteNamespaces };
  readonly tls?: unknown;
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
