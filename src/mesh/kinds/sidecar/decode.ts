// Reads a Sidecar.
import { decodeSpec, list, oneOf, optional, record, strings, text, withDefault } from "../../objects/decode.ts";
import { OutboundMode } from "../../objects/fields/outbound-traffic-policy.ts";
import { decodePort, decodePortSelector } from "../../objects/fields/port.ts";
import { decodeLabelSelector } from "../../objects/fields/selector.ts";
import { decodeServerTls } from "../../objects/fields/server-tls.ts";
import { decodeConnectionPool } from "../../objects/fields/traffic-policy-decode.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import type { Report } from "../../objects/report.ts";
import {
  CaptureMode,
  type EgressListenerSpec,
  type EgressProxy,
  type IngressListenerSpec,
  type SidecarSpec,
} from "./spec.ts";

type OutboundPolicy = NonNullable<SidecarSpec["outboundTrafficPolicy"]>;

const captureMode = withDefault(oneOf(Object.values(CaptureMode)), CaptureMode.Default);

const spec = record<SidecarSpec>({
  workloadSelector: optional(decodeLabelSelector),
  ingress: list(
    record<IngressListenerSpec>({
      port: withDefault(decodePort, { number: 0, protocol: "", name: "", targetPort: 0 }),
      bind: text,
      captureMode,
      defaultEndpoint: text,
      tls: optional(decodeServerTls),
      connectionPool: optional(decodeConnectionPool),
    }),
  ),
  egress: list(record<EgressListenerSpec>({ port: optional(decodePort), bind: text, captureMode, hosts: strings })),
  inboundConnectionPool: optional(decodeConnectionPool),
  outboundTrafficPolicy: optional(
    record<OutboundPolicy>({
      // The zero value of the API's enumeration, when the block is there and says no mode.
      mode: withDefault(oneOf(Object.values(OutboundMode)), OutboundMode.RegistryOnly),
      egressProxy: optional(record<EgressProxy>({ host: text, subset: text, port: optional(decodePortSelector) })),
    }),
  ),
});

export function decodeSidecar(object: KubernetesObject, report: Report): SidecarSpec | undefined {
  return decodeSpec(object, spec, report);
}
