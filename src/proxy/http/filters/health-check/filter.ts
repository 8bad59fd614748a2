// envoy.filters.http.health_check: answers who asks for this proxy's health, or lets the application answer and keeps the
// answer for a while.
import {
  type HealthCheck,
  HealthCheckSchema,
} from "#wire/gen/envoy/extensions/filters/http/health_check/v3/health_check_pb.ts";
import type { Headers } from "#wire/http/headers.ts";
import type { HeaderMatcher } from "../../../config/matcher.ts";
import { decodeHeaderMatcher } from "../../../config/parse/matcher.ts";
import { milliseconds } from "../../../config/parse/values.ts";
import { isUnhealthy } from "../../../upstream/balance/host.ts";
import {
  CONTINUE,
  DONE,
  defineHttpFilter,
  type FilterContext,
  type FilterPlace,
  type HttpFilter,
  type HttpFilterType,
  settingsFrom,
  sharedFilter,
  type Verdict,
} from "../../filter.ts";
import { healthCheckAnswer } from "../../local-replies.ts";
import type { Stream } from "../../stream.ts";

interface HealthCheckSettings {
  readonly passesThrough: boolean;
  readonly cacheMs: number;
  /** Cluster → share of its hosts that must be healthy, from 0 to 1. */
  readonly minHealthy: readonly (readonly [cluster: string, share: number])[];
  readonly headers: readonly HeaderMatcher[];
}

export const healthCheck: HttpFilterType = defineHttpFilter<HealthCheckSettings>({
  type: "health_check",
  messages: [settingsFrom(HealthCheckSchema, parse)],
  configure: (settings, context) => sharedFilter(new HealthCheckFilter(settings, context)),
});

function parse(message: HealthCheck, { path, problems }: FilterPlace): HealthCheckSettings {
  if (message.passThroughMode === undefined) problems.invalid(`${path}.pass_through_mode`, "is missing");
  const passesThrough = message.passThroughMode ?? false;
  if (message.cacheTime !== undefined && !passesThrough) {
    problems.invalid(`${path}.cache_time`, "has nothing to keep without pass_through_mode");
  }
  const minHealthy = Object.entries(message.clusterMinHealthyPercentages);
  if (minHealthy.length > 0 && passesThrough) {
    problems.invalid(`${path}.cluster_min_healthy_percentages`, "does not go with pass_through_mode");
  }
  return {
    passesThrough,
    cacheMs: milliseconds(message.cacheTime, 0),
    minHealthy: minHealthy.map(([cluster, percent]) => [cluster, percent.value / 100]),
    headers: message.headers.map((it, i) => decodeHeaderMatcher(it, `${path}.headers[${i}]`, problems)),
  };
}

class HealthCheckFilter implements HttpFilter {
  readonly #settings: HealthCheckSettings;
  readonly #context: FilterContext<never>;
  /** What the application answered last. */
  #cached: { readonly status: number; readonly untilMs: number } | null = null;

  constructor(settings: HealthCheckSettings, context: FilterContext<never>) {
    this.#settings = settings;
    this.#context = context;
  }

  onRequestHeaders(stream: Stream): Verdict {
    const { headers, passesThrough, cacheMs } = this.#settings;
    for (const matcher of headers) if (!matcher.matches(stream.header(matcher.name))) return CONTINUE;
    stream.isHealthCheck = true;
    const { loop, isDraining } = this.#context.environment;
    if (isDraining(stream.connection)) return answer(stream, 503, "this proxy drains");
    if (!passesThrough) {
      const missing = this.#clusterThatIsNotHealthy();
      return missing === null ? answer(stream, 200, "this proxy is healthy") : answer(stream, 503, missing);
    }
    if (cacheMs === 0) return CONTINUE;
    const cached = this.#cached;
    if (cached !== null && loop.now < cached.untilMs) return answer(stream, cached.status, "an answer that was kept");
    stream.attach(this, {
      onResponseHeaders: (answered) => {
        this.#cached = { status: answered.responseStatus, untilMs: loop.now + cacheMs };
        return CONTINUE;
      },
    });
    return CONTINUE;
  }

  /** In words; null when there are enough healthy hosts everywhere. */
  #clusterThatIsNotHealthy(): string | null {
    for (const [name, share] of this.#settings.minHealthy) {
      const endpoints = this.#context.environment.clusters.get(name)?.endpoints ?? [];
      const healthy = endpoints.filter(({ healthFlags }) => !isUnhealthy(healthFlags)).length;
      // A cluster without hosts is as healthy as it is asked to be only when nothing is asked.
      if (endpoints.length === 0 ? share > 0 : healthy / endpoints.length < share) {
        return `${healthy} of ${endpoints.length} hosts of ${name} are healthy`;
      }
    }
    return null;
  }

  onResponseHeaders({ connection }: Stream, headers: Headers): Verdict {
    if (this.#context.environment.isDraining(connection)) headers.set("x-envoy-immediate-health-check-fail", "true");
    return CONTINUE;
  }
}

function answer(stream: Stream, status: number, cause: string): Verdict {
  const { node } = stream.manager.environment;
  stream.sendLocalReply(healthCheckAnswer(status), cause, [], (headers) => {
    if (node.cluster !== "") headers.set("x-envoy-upstream-healthchecked-cluster", node.cluster);
  });
  return DONE;
}
