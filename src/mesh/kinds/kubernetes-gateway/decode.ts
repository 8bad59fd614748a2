// Reads a Gateway of the Gateway API.
import {
  type Decoder,
  decodeSpec,
  list,
  optional,
  record,
  string,
  stringMap,
  text,
  withDefault,
} from "../../objects/decode.ts";
import { decodeListener, decodeRouteNamespaces } from "../../objects/fields/listener.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import type { Report } from "../../objects/report.ts";
import type { GatewayAddress, GatewayInfrastructure, KubernetesGatewaySpec } from "./spec.ts";

const anything: Decoder<unknown> = (value) => value;

const spec: Decoder<KubernetesGatewaySpec> = record<KubernetesGatewaySpec>({
  gatewayClassName: text,
  listeners: list(decodeListener, 64),
  addresses: list(record<GatewayAddress>({ type: withDefault(string, "IPAddress"), value: text }), 16),
  infrastructure: optional(
    record<GatewayInfrastructure>({
      labels: stringMap,
      annotations: stringMap,
      parametersRef: optional(record({ group: text, kind: text, name: text })),
    }),
  ),
  allowedListeners: optional(
    record<NonNullable<KubernetesGatewaySpec["allowedListeners"]>>({
      namespaces: optional(decodeRouteNamespaces("None")),
    }),
  ),
  tls: optional(anything),
  defaultScope: optional(string),
});

export function decodeKubernetesGateway(object: KubernetesObject, report: Report): KubernetesGatewaySpec | undefined {
  return decodeSpec(object, spec, report);
}
