// Reads a WorkloadGroup.
import {
  decodeSpec,
  int32,
  list,
  optional,
  record,
  stringMap,
  strings,
  text,
  withDefault,
} from "../../objects/decode.ts";
import { decodeWorkloadAddress } from "../../objects/fields/workload.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import type { Report } from "../../objects/report.ts";
import type { ReadinessProbe, WorkloadGroupSpec } from "./spec.ts";

const number = withDefault(int32, 0);

const probe = record<ReadinessProbe>({
  initialDelaySeconds: number,
  timeoutSeconds: number,
  periodSeconds: number,
  successThreshold: number,
  failureThreshold: number,
  httpGet: optional(
    record<NonNullable<ReadinessProbe["httpGet"]>>({
      path: text,
      port: number,
      host: text,
      scheme: text,
      httpHeaders: list(record<{ name: string; value: string }>({ name: text, value: text })),
    }),
  ),
  tcpSocket: optional(record<NonNullable<ReadinessProbe["tcpSocket"]>>({ host: text, port: number })),
  exec: optional(record<NonNullable<ReadinessProbe["exec"]>>({ command: strings })),
  grpc: optional(record<NonNullable<ReadinessProbe["grpc"]>>({ port: number, service: text })),
});

const spec = record<WorkloadGroupSpec>({
  metadata: optional(record<NonNullable<WorkloadGroupSpec["metadata"]>>({ labels: stringMap, annotations: stringMap })),
  template: optional(decodeWorkloadAddress),
  probe: optional(probe),
});

export function decodeWorkloadGroup(object: KubernetesObject, report: Report): WorkloadGroupSpec | undefined {
  return decodeSpec(object, spec, report);
}
