// Reads a Gateway of the Gateway API.
import {
  type Decoder,
  decodeSpec,
  integer,
  list,
  oneOf,
  optional,
  record,
  string,
  stringMap,
  strings,
  text,
  withDefault,
} from "../../objects/decode.ts";
import { decodeSecretReference, gatewayApiGroup } from "../../objects/fields/route-reference.ts";
import type { KubernetesSelector } from "../../objects/fields/selector.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import type { Report } from "../../objects/report.ts";
import type {
  AllowedRoutes,
  GatewayAddress,
  GatewayInfrastructure,
  KubernetesGatewaySpec,
  Listener,
  ListenerTls,
  RouteKind,
  RouteNamespaces,
} from "./spec.ts";

const selector = record<KubernetesSelector>({
  matchLabels: optional(stringMap.decode),
  matchExpressions: optional(
    list(
      record<NonNullable<KubernetesSelector["matchExpressions"]>[number]>({
        key: text,
        operator: text,
        values: optional(strings.decode),
      }),
    ).decode,
  ),
});

const namespaces = (absent: RouteNamespaces["from"]): Decoder<RouteNamespaces> =>
  record<RouteNamespaces>({
    from: withDefault(oneOf(["All", "Selector", "Same", "None"]), absent),
    selector: optional(selector),
  });

const listener = record<Listener>({
  name: text,
  hostname: text,
  port: withDefault(integer(1, 65535), 0),
  protocol: text,
  tls: optional(
    record<ListenerTls>({
      mode: withDefault(oneOf(["Terminate", "Passthrough"]), "Terminate"),
      certificateRefs: list(decodeSecretReference, 64),
      options: stringMap,
    }),
  ),
  allowedRoutes: optional(
    record<AllowedRoutes>({
      namespaces: optional(namespaces("Same")),
      kinds: list(record<RouteKind>({ group: withDefault(string, gatewayApiGroup), kind: text }), 8),
    }),
  ),
});

const anything: Decoder<unknown> = (value) => value;

const spec: Decoder<KubernetesGatewaySpec> = record<KubernetesGatewaySpec>({
  gatewayClassName: text,
  listeners: list(listener, 64),
  addresses: list(record<GatewayAddress>({ type: withDefault(string, "IPAddress"), value: text }), 16),
  infrastructure: optional(
    record<GatewayInfrastructure>({
      labels: stringMap,
      annotations: stringMap,
      parametersRef: optional(record({ group: text, kind: text, name: text })),
    }),
  ),
  allowedListeners: optional(
    record<NonNullable<KubernetesGatewaySpec["allowedListeners"]>>({ namespaces: optional(namespaces("None")) }),
  ),
  tls: optional(anything),
  defaultScope: optional(string),
});

export function decodeKubernetesGateway(object: KubernetesObject, report: Report): KubernetesGatewaySpec | undefined {
  return decodeSpec(object, spec, report);
}
