// What the fault filter would do to a request, for explain: an abort of all requests is a verdict, one of some is a chance.
import type { FilterDecide } from "../../../config/http.ts";
import { addStep } from "../../../config/trace.ts";
import { type FaultSettings, shareWords } from "./settings.ts";

export function explainFault(
  settings: FaultSettings,
  subject: Parameters<FilterDecide>[0],
  trace: Parameters<FilterDecide>[2],
): ReturnType<FilterDecide> {
  const { delay, abort, upstreamCluster, headers, downstreamNodes } = settings;
  const read = (name: string): string | undefined => subject.header?.(name);
  if (headers.some((matcher) => !matcher.matches(read(matcher.name)))) return null;
  if (downstreamNodes.length > 0 && !downstreamNodes.includes(read("x-envoy-downstream-service-node") ?? ""))
    return null;
  const parts: string[] = [];
  if (delay !== null && delay.share > 0) {
    parts.push(
      `delays ${shareWords(delay.share)} by ${delay.fixedMs === null ? "what they ask for" : `${delay.fixedMs} ms`}`,
    );
  }
  if (abort !== null && abort.share > 0) parts.push(`aborts ${shareWords(abort.share)} with ${statusWords(abort)}`);
  if (parts.length === 0) return null;
  const only = upstreamCluster === "" ? "" : ` of the requests to ${upstreamCluster}`;
  const words = `${parts.join(" and ")}${only}`;
  if (trace !== null) addStep(trace, "fault", words);
  if (abort === null || upstreamCluster !== "" || isByHeader(abort)) return null;
  const answer = { status: abort.httpStatus ?? 200, reason: `a fault is injected: ${words}` };
  if (abort.share >= 1) return { refusal: answer, authorization: null };
  return { refusal: null, authorization: null, chance: { ...answer, share: abort.share } };
}

type Abort = NonNullable<FaultSettings["abort"]>;

function isByHeader({ httpStatus, grpcStatus }: Abort): boolean {
  return httpStatus === null && grpcStatus === null;
}

function statusWords(abort: Abort): string {
  if (isByHeader(abort)) return "the status that they ask for";
  return abort.httpStatus === null ? `gRPC status ${abort.grpcStatus}` : String(abort.httpStatus);
}
