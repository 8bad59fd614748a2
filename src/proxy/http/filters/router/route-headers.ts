// HOT: per request. The header changes that configuration asks for, most specific first, as Envoy: weighted cluster,
// route, virtual host.
import type { Headers } from "#wire/http/headers.ts";
import type { RouteDecision } from "../../../decide/route.ts";
import { applyHeaderMutations } from "../../header-mutation.ts";
import type { Stream } from "../../stream.ts";

export function mutateRequestHeaders(stream: Stream, { cluster, route, virtualHost }: RouteDecision): void {
  if (cluster !== null) applyHeaderMutations(stream, stream.headers, cluster.headers.request, true);
  applyHeaderMutations(stream, stream.headers, route.headers.request, true);
  applyHeaderMutations(stream, stream.headers, virtualHost.headers.request, true);
}

export function mutateResponseHeaders(stream: Stream, headers: Headers): void {
  const { decision } = stream;
  if (decision === null) return;
  const { cluster, route, virtualHost } = decision;
  if (cluster !== null) applyHeaderMutations(stream, headers, cluster.headers.response, false);
  applyHeaderMutations(stream, headers, route.headers.response, false);
  applyHeaderMutations(stream, headers, virtualHost.headers.response, false);
}
