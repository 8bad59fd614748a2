// XBackendTrafficPolicy for the rest of the mesh: how it is read, and the rules of its CRD.
import { decodeSpec, duration, integer, list, optional, record, text } from "../../objects/decode.ts";
import { sessionPersistence } from "../../objects/fields/session-persistence.ts";
import type { Kind } from "../../objects/kind.ts";
import type { BackendTrafficPolicySpec, RetryConstraint, TrafficPolicyTarget } from "./spec.ts";

const spec = record<BackendTrafficPolicySpec>({
  targetRefs: list(record<TrafficPolicyTarget>({ group: text, kind: text, name: text }), 16),
  retryConstraint: optional(
    record<RetryConstraint>({
      budget: optional(
        record<NonNullable<RetryConstraint["budget"]>>({
          percent: optional(integer(0, 100)),
          interval: optional(duration),
        }),
      ),
      minRetryRate: optional(
        record<NonNullable<RetryConstraint["minRetryRate"]>>({
          count: optional(integer(1, 1_000_000)),
          interval: optional(duration),
        }),
      ),
    }),
  ),
  sessionPersistence: optional(sessionPersistence),
});

export const xBackendTrafficPolicy: Kind<BackendTrafficPolicySpec> = {
  kind: "XBackendTrafficPolicy",
  decode: (object, report) => decodeSpec(object, spec, report),
  validate({ targetRefs }, report) {
    if (targetRefs.length === 0) report({ path: "spec.targetRefs", message: "a target is needed" });
    for (const [index, { kind, name }] of targetRefs.entries()) {
      if (kind === "" || name === "")
        report({ path: `spec.targetRefs[${index}]`, message: "kind and name are needed" });
    }
  },
};
