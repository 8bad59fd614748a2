// The codes with which the embedded cluster's API says no, and the HTTP status and Kubernetes reason of each.

import { type ErrorTable, OutriggerError } from "#base/error.ts";

export type ApiErrorCode =
  | "BAD_REQUEST"
  | "UNAUTHORIZED"
  | "FORBIDDEN"
  | "NOT_FOUND"
  | "METHOD_NOT_ALLOWED"
  | "NOT_ACCEPTABLE"
  | "ALREADY_EXISTS"
  | "CONFLICT"
  | "EXPIRED"
  | "TOO_LARGE"
  | "UNSUPPORTED_MEDIA_TYPE"
  | "INVALID"
  | "TOO_MANY_REQUESTS"
  | "INTERNAL"
  | "UNAVAILABLE"
  | "TIMEOUT";

/** code → HTTP status, reason of the `Status` object, and what it means to whoever gets it. */
export const apiErrors: Readonly<Record<ApiErrorCode, readonly [number, string, string]>> = {
  BAD_REQUEST: [400, "BadRequest", "the request is malformed: correct it"],
  UNAUTHORIZED: [401, "Unauthorized", "no token, or one that is not valid: get a fresh one"],
  FORBIDDEN: [403, "Forbidden", "no role allows it, or admission refused it"],
  NOT_FOUND: [404, "NotFound", "no such object, resource or path"],
  METHOD_NOT_ALLOWED: [405, "MethodNotAllowed", "the resource does not know the verb"],
  NOT_ACCEPTABLE: [406, "NotAcceptable", "only JSON and tables are served"],
  ALREADY_EXISTS: [409, "AlreadyExists", "the name is taken: update instead"],
  CONFLICT: [409, "Conflict", "the object has changed meanwhile: read it again and repeat"],
  EXPIRED: [410, "Expired", "the history does not reach back so far: list again, then watch"],
  TOO_LARGE: [413, "RequestEntityTooLarge", "the body is larger than the limit"],
  UNSUPPORTED_MEDIA_TYPE: [415, "UnsupportedMediaType", "the content type is not served"],
  INVALID: [422, "Invalid", "a field has a value that is not allowed"],
  TOO_MANY_REQUESTS: [429, "TooManyRequests", "try again later"],
  INTERNAL: [500, "InternalError", "a defect, or an admission webhook could not be reached"],
  UNAVAILABLE: [503, "ServiceUnavailable", "what serves this is not there yet: try again"],
  TIMEOUT: [504, "Timeout", "it took too long: try again"],
};

/** What keeps the store's file from being opened. */
export const storeErrors: ErrorTable = {
  STORE_IN_USE: {
    meaning: "Another process has the cluster's database open.",
    action: "Stop the mesh that runs with this state directory: `outrigger down`.",
  },
  STORE_TOO_NEW: {
    meaning: "A newer version wrote the cluster's database.",
    action: "Use that version, or another state directory.",
  },
};

export function apiError(code: ApiErrorCode, message: string, cause?: unknown): OutriggerError {
  return new OutriggerError(code, message, cause === undefined ? undefined : { cause });
}

/** The code of the error if it is one of the table's, else undefined. */
export function apiErrorCode(error: unknown): ApiErrorCode | undefined {
  if (!(error instanceof OutriggerError)) return undefined;
  const code = error.code;
  return isApiErrorCode(code) ? code : undefined;
}

function isApiErrorCode(code: string): code is ApiErrorCode {
  return Object.hasOwn(apiErrors, code);
}
