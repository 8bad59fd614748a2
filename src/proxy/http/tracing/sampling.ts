// HOT: per request, where tracing is on. Whether a request is traced, and why: its id says it (the fifteenth character of
// the UUID), or its headers ask for it, or a draw by its id, which is the same draw in every proxy that it passes.
// As Envoy's ConnectionManagerUtility::mutateTracingRequestHeader is documented.
import { X_REQUEST_ID } from "#wire/http/header-names.ts";
import type { Headers } from "#wire/http/headers.ts";
import type { TracingConfig } from "../../config/tracing.ts";

export const NOT_TRACEABLE = 0;
export const SAMPLED = 1;
export const CLIENT_FORCED = 2;
export const SERVICE_FORCED = 3;
export type TraceReason = 0 | 1 | 2 | 3;

export interface SamplingSource {
  readonly share: (share: TracingConfig["randomSampling"]) => number;
  readonly random: () => number;
}

const uuidLength = 36;
/** Where a UUID has its version, which is 4 for one that says nothing. */
const reasonAt = 14;
const reasonMarks = ["4", "9", "b", "a"] as const;

/** Decides, and writes the reason into the request's id. */
export function traceReason(config: TracingConfig, headers: Headers, source: SamplingSource): TraceReason {
  // The tracer has the word.
  if (!config.samplesByRequestId) return SAMPLED;
  const id = headers.getId(X_REQUEST_ID) ?? "";
  const number = numberOf(id);
  if (number < 0) return NOT_TRACEABLE;
  let reason = reasonIn(id);
  let isNew = false;
  if (reason === NOT_TRACEABLE) {
    if (headers.has("x-client-trace-id") && source.random() < source.share(config.clientSampling)) {
      reason = CLIENT_FORCED;
    } else if (headers.has("x-envoy-force-trace")) {
      reason = SERVICE_FORCED;
    } else if (number % 10_000 < source.share(config.randomSampling) * 10_000 - rounding) {
      reason = SAMPLED;
    }
    isNew = reason !== NOT_TRACEABLE;
  }
  if (reason !== NOT_TRACEABLE && number % 100 >= source.share(config.overallSampling) * 100 - rounding) {
    isNew = !isNew;
    reason = NOT_TRACEABLE;
  }
  if (isNew && config.packsReason && id.length === uuidLength) {
    headers.setId(X_REQUEST_ID, id.slice(0, reasonAt) + reasonMarks[reason] + id.slice(reasonAt + 1));
  }
  return reason;
}

/** Shares are fractions: what is meant are whole numbers. */
const rounding = 1e-6;

/** The first 32 bits; -1 when the id does not begin with them. */
function numberOf(id: string): number {
  if (id.length < 8) return -1;
  let number = 0;
  for (let i = 0; i < 8; i++) {
    const code = id.charCodeAt(i);
    const digit =
      code >= 0x30 && code <= 0x39 ? code - 0x30 : code >= 0x61 && code <= 0x66 ? code - 0x57 : hexUpper(code);
    if (digit < 0) return -1;
    number = number * 16 + digit;
  }
  return number;
}

function hexUpper(code: number): number {
  return code >= 0x41 && code <= 0x46 ? code - 0x37 : -1;
}

function reasonIn(id: string): TraceReason {
  if (id.length !== uuidLength) return NOT_TRACEABLE;
  const mark = id[reasonAt];
  if (mark === reasonMarks[SAMPLED]) return SAMPLED;
  if (mark === reasonMarks[CLIENT_FORCED]) return CLIENT_FORCED;
  return mark === reasonMarks[SERVICE_FORCED] ? SERVICE_FORCED : NOT_TRACEABLE;
}
