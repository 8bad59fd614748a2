// HOT: per request. envoy.filters.http.cors: answers preflights of allowed origins itself, and adds what browsers ask
// for to other responses. Requests without `origin`, and routes without a policy, pass untouched. It protects no
// server: a request of an origin that is not allowed goes on, and the browser keeps the response from the page.
import { CorsPolicySchema, CorsSchema } from "#wire/gen/envoy/extensions/filters/http/cors/v3/cors_pb.ts";
import type { Headers } from "#wire/http/headers.ts";
import { addStep } from "../../../config/trace.ts";
import type { Counter } from "../../../stats/stats.ts";
import {
  CONTINUE,
  DONE,
  defineHttpFilter,
  type FilterContext,
  type HttpFilter,
  type HttpFilterType,
  settingsFrom,
  sharedFilter,
  type Verdict,
} from "../../filter.ts";
import { corsPreflight } from "../../local-replies.ts";
import type { Stream } from "../../stream.ts";
import { allowsOrigin, type CorsPolicy, joinPolicies, parseCorsPolicy } from "./policy.ts";

export const cors: HttpFilterType = defineHttpFilter<Record<string, never>, CorsPolicy>({
  type: "cors",
  messages: [settingsFrom(CorsSchema, () => ({}))],
  routeMessages: [settingsFrom(CorsPolicySchema, parseCorsPolicy)],
  decide: () => (subject, routeSettings, trace) => {
    const origin = subject.header?.("origin");
    const policy = joinPolicies(routeSettings as readonly CorsPolicy[]);
    if (trace !== null && origin !== undefined && policy !== null) {
      addStep(trace, "cors", `origin ${origin} is ${allowsOrigin(policy, origin) ? "" : "not "}allowed`);
    }
    return null;
  },
  configure: (_settings, context) => sharedFilter(new CorsFilter(context)),
});

class CorsFilter implements HttpFilter {
  readonly #context: FilterContext<CorsPolicy>;
  readonly #valid: Counter;
  readonly #invalid: Counter;

  constructor(context: FilterContext<CorsPolicy>) {
    const { stats } = context.environment;
    this.#context = context;
    this.#valid = stats.counter(`${context.statPrefix}cors.origin_valid`);
    this.#invalid = stats.counter(`${context.statPrefix}cors.origin_invalid`);
  }

  onRequestHeaders(stream: Stream, headers: Headers): Verdict {
    const origin = headers.get("origin");
    if (origin === undefined || origin === "") return CONTINUE;
    const policy = joinPolicies(this.#context.allRouteSettings(stream));
    if (policy === null) return CONTINUE;
    const { loop, runtime } = this.#context.environment;
    const isEnabled = loop.random() < runtime.fraction(policy.enabled);
    if (!isEnabled && loop.random() >= runtime.fraction(policy.shadowEnabled)) return CONTINUE;
    const isAllowed = allowsOrigin(policy, origin);
    (isAllowed ? this.#valid : this.#invalid).add();
    if (!isEnabled) return CONTINUE;
    const isPreflight = stream.method === "OPTIONS" && (headers.get("access-control-request-method") ?? "") !== "";
    if (!isAllowed) {
      if (!isPreflight || policy.forwardsOtherPreflights !== false) return CONTINUE;
      answer(stream, `the CORS policy does not allow the origin ${origin}`, () => {});
      return DONE;
    }
    stream.attach(this, { onResponseHeaders: (_stream, response) => allow(response, policy, origin) });
    if (!isPreflight) return CONTINUE;
    const isPrivate = headers.get("access-control-request-private-network") === "true";
    answer(stream, `the CORS policy allows the origin ${origin}`, (response) => {
      if (policy.methods !== "") response.add("access-control-allow-methods", policy.methods);
      if (policy.headers !== "") response.add("access-control-allow-headers", policy.headers);
      if (policy.maxAge !== "") response.add("access-control-max-age", policy.maxAge);
      if (isPrivate && policy.privateNetwork === true) response.add("access-control-allow-private-network", "true");
    });
    return DONE;
  }
}

function allow(response: Headers, policy: CorsPolicy, origin: string): Verdict {
  response.set("access-control-allow-origin", origin);
  if (policy.credentials === true) response.set("access-control-allow-credentials", "true");
  if (policy.exposed !== "") response.set("access-control-expose-headers", policy.exposed);
  return CONTINUE;
}

function answer(stream: Stream, cause: string, decorate: (headers: Headers) => void): void {
  stream.sendLocalReply(corsPreflight, cause, stream.decision?.route.provenance.origins ?? [], decorate);
}
