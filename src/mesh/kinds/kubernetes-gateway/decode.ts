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
  text,
  withDefault,
} from "../../objects/decode.ts";
import { decodeListener, decodeRouteNamespaces } from "../../objects/fields/listener.ts";
import { decodeObjectReference, decodeSecretReference } from "../../objects/fields/route-reference.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import type { Report } from "../../objects/report.ts";
import type {
  FrontendValidation,
  GatewayAddress,
  GatewayInfrastructure,
  GatewayTls,
  KubernetesGatewaySpec,
} from "./spec.ts";

type FrontendTls = NonNullable<GatewayTls["frontend"]>;

const portTls = record<NonNullable<FrontendTls["default"]>>({
  validation: optional(
    record<FrontendValidation>({
      caCertificateRefs: list(decodeObjectReference, 8),
      mode: withDefault(oneOf(["AllowValidOnly", "AllowInsecureFallback"]), "AllowValidOnly"),
    }),
  ),
});

const tls = record<GatewayTls>({
  frontend: optional(
    record<FrontendTls>({
      default: optional(portTls),
      perPort: list(
        record<FrontendTls["perPort"][number]>({
          port: withDefault(integer(1, 65535), 0),
          tls: optional(portTls),
        }),
        64,
      ),
    }),
  ),
  backend: optional(
    record<NonNullable<GatewayTls["backend"]>>({ clientCertificateRef: optional(decodeSecretReference) }),
  ),
});

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
  tls: optional(tls),
  defaultScope: optional(string),
});

export function decodeKubernetesGateway(object: KubernetesObject, report: Report): KubernetesGatewaySpec | undefined {
  return decodeSpec(object, spec, report);
}
