// AdmissionReview v1: reads what the API server asks and writes what it understands.

export interface AdmissionRequest {
  readonly uid: string;
  readonly kind: { readonly group: string; readonly version: string; readonly kind: string };
  readonly operation: string;
  readonly namespace: string;
  readonly name: string;
  readonly object: unknown;
  readonly dryRun: boolean;
}

export type AdmissionAnswer =
  | { readonly allowed: true; readonly patch?: readonly unknown[]; readonly warnings?: readonly string[] }
  | { readonly allowed: false; readonly code: number; readonly message: string };

/** Reads a review; a string says what is wrong with it. */
export function readReview(body: string): AdmissionRequest | string {
  let review: { kind?: unknown; request?: Record<string, unknown> };
  try {
    review = JSON.parse(body) as typeof review;
  } catch {
    return "the body is not JSON";
  }
  const request = review?.request;
  if (review?.kind !== "AdmissionReview" || typeof request !== "object" || request === null) {
    return "the body is not an AdmissionReview with a request";
  }
  const { uid, kind } = request;
  if (typeof uid !== "string" || uid === "") return "the request has no uid";
  const { group, version, kind: kindName } = (kind ?? {}) as Record<string, unknown>;
  return {
    uid,
    kind: { group: text(group), version: text(version), kind: text(kindName) },
    operation: text(request["operation"]),
    namespace: text(request["namespace"]),
    name: text(request["name"]),
    object: request["object"],
    dryRun: request["dryRun"] === true,
  };
}

export function writeReview(uid: string, answer: AdmissionAnswer): string {
  const response = answer.allowed
    ? {
        uid,
        allowed: true,
        ...(answer.patch !== undefined &&
          answer.patch.length > 0 && {
            patchType: "JSONPatch",
            patch: Buffer.from(JSON.stringify(answer.patch)).toString("base64"),
          }),
        ...(answer.warnings !== undefined && answer.warnings.length > 0 && { warnings: answer.warnings }),
      }
    : { uid, allowed: false, status: { code: answer.code, message: answer.message, reason: "Invalid" } };
  return JSON.stringify({ apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", response });
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
