// Kubernetes' `Status` objects: how the API says no, and that something was deleted.

import { describeError } from "#base/error.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { apiErrorCode, apiErrors } from "../store/errors.ts";
import type { JsonRecord } from "../store/json.ts";

export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
}

/** The status for anything that was thrown: known errors as they are, all others as a defect without its details. */
export function failureStatus(error: unknown, details: StatusDetails = {}): { code: number; body: JsonRecord } {
  const known = apiErrorCode(error);
  const [code, reason] = apiErrors[known ?? "INTERNAL"];
  const message =
    known === undefined ? "Internal error occurred" : error instanceof Error ? error.message : describeError(error);
  return {
    code,
    body: { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", message, reason, details, code },
  };
}

export function successStatus(resource: { plural: string; group: string }, object: KubernetesObject): JsonRecord {
  return {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Success",
    details: {
      name: object.metadata.name,
      ...(resource.group === "" ? {} : { group: resource.group }),
      kind: resource.plural,
      uid: object.metadata.uid,
    },
  };
}
