// Reads a Gateway.
import { decodeSpec, list, optional, record, stringMap, strings, text, withDefault } from "../../objects/decode.ts";
import { decodePort } from "../../objects/fields/port.ts";
import { decodeServerTls } from "../../objects/fields/server-tls.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import type { Report } from "../../objects/report.ts";
import type { GatewaySpec, Server } from "./spec.ts";

const spec = record<Omit<GatewaySpec, "backendCertificate">>({
  selector: stringMap,
  servers: list(
    record<Server>({
      name: text,
      port: withDefault(decodePort, { number: 0, protocol: "", name: "", targetPort: 0 }),
      bind: text,
      hosts: strings,
      tls: optional(decodeServerTls),
      defaultEndpoint: text,
    }),
  ),
});

export function decodeGateway(object: KubernetesObject, report: Report): GatewaySpec | undefined {
  return decodeSpec(object, spec, report);
}
