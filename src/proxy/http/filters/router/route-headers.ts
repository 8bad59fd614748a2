// HOT: per request. The header changes that configuration asks for, most specific first, as Envoy: weighted cluster,
// route, virtual host, table; the other way round where the table says that the most specific wins, because the last
// change stands.
import type { Headers } from "#wire/http/headers.ts";
import type { RouteDecision } from "../../../decide/route.ts";
import { applyHeaderMutations } from "../../header-mutation.ts";
import type { Stream } from "../../stream.ts";

export function mutateRequestHeaders(stream: Stream, decision: RouteDecision): void {
  const { headers } = stream;
  if (stream.routeConfig?.mostSpecificHeadersWin === true) {
    applyHeaderMutations(stream, headers, stream.routeConfig.headers.request, true);
    applyHeaderMutations(stream, headers, decision.virtualHost.headers.request, true);
    applyHeaderMutations(stream, headers, decision.route.headers.request, true);
    if (decision.cluster !== null) applyHeaderMutations(stream, headers, decision.cluster.headers.request, true);
    return;
  }
  if (decision.cluster !== null) applyHeaderMutations(stream, headers, decision.cluster.headers.request, true);
  applyHeaderMutations(stream, headers, decision.route.headers.request, true);
  applyHeaderMutations(stream, headers, decision.virtualHost.headers.request, true);
  if (stream.routeConfig !== null) applyHeaderMutations(stream, headers, stream.routeConfig.headers.request, true);
}

export function mutateResponseHeaders(stream: Stream, headers: Headers): void {
  const { decision, routeConfig } = stream;
  if (decision === null) return;
  if (routeConfig?.mostSpecificHeadersWin === true) {
    applyHeaderMutations(stream, headers, routeConfig.headers.response, false);
    applyHeaderMutations(stream, headers, decision.virtualHost.headers.response, false);
    applyHeaderMutations(stream, headers, decision.route.headers.response, false);
    if (decision.cluster !== null) applyHeaderMutations(stream, headers, decision.cluster.headers.response, false);
    return;
  }
  if (decision.cluster !== null) applyHeaderMutations(stream, headers, decision.cluster.headers.response, false);
  applyHeaderMutations(stream, headers, decision.route.headers.response, false);
  applyHeaderMutations(stream, headers, decision.virtualHost.headers.response, false);
  if (routeConfig !== null) applyHeaderMutations(stream, headers, routeConfig.headers.response, false);
}
