// A CORS policy of a route or virtual host, as it is configured and as several of them add up for one request.
import type { CorsPolicy as EnvoyCorsPolicy } from "#wire/gen/envoy/extensions/filters/http/cors/v3/cors_pb.ts";
import type { StringMatcher } from "../../../config/matcher.ts";
import { decodeStringMatcher } from "../../../config/parse/matcher.ts";
import { runtimeShare } from "../../../config/parse/values.ts";
import { always, never, type RuntimeShare } from "../../../config/runtime.ts";
import type { FilterPlace } from "../../filter.ts";

/** Null and empty mean that the policy says nothing, so that a less specific one may. */
export interface CorsPolicy {
  readonly origins: readonly StringMatcher[];
  readonly methods: string;
  readonly headers: string;
  readonly exposed: string;
  readonly maxAge: string;
  readonly credentials: boolean | null;
  readonly privateNetwork: boolean | null;
  readonly forwardsOtherPreflights: boolean | null;
  readonly enabled: RuntimeShare;
  readonly shadowEnabled: RuntimeShare;
}

export function parseCorsPolicy(message: EnvoyCorsPolicy, { path, problems }: FilterPlace): CorsPolicy {
  return {
    origins: message.allowOriginStringMatch.map((it, i) =>
      decodeStringMatcher(it, `${path}.allow_origin_string_match[${i}]`, problems),
    ),
    methods: message.allowMethods,
    headers: message.allowHeaders,
    exposed: message.exposeHeaders,
    maxAge: message.maxAge,
    credentials: message.allowCredentials ?? null,
    privateNetwork: message.allowPrivateNetworkAccess ?? null,
    forwardsOtherPreflights: message.forwardNotMatchingPreflights ?? null,
    enabled: runtimeShare(message.filterEnabled, always),
    shadowEnabled: runtimeShare(message.shadowEnabled, never),
  };
}

const joined = new WeakMap<CorsPolicy, CorsPolicy>();

/** The policies of a route, most specific first, as one. The enabling shares are those of the first. */
export function joinPolicies(policies: readonly CorsPolicy[]): CorsPolicy | null {
  const [first, ...rest] = policies;
  if (first === undefined || rest.length === 0) return first ?? null;
  // The first policy belongs to one route, so what stands behind it is always the same.
  let policy = joined.get(first);
  if (policy === undefined) {
    policy = rest.reduce(behind, first);
    joined.set(first, policy);
  }
  return policy;
}

function behind(policy: CorsPolicy, outer: CorsPolicy): CorsPolicy {
  return {
    origins: policy.origins.length > 0 ? policy.origins : outer.origins,
    methods: policy.methods || outer.methods,
    headers: policy.headers || outer.headers,
    exposed: policy.exposed || outer.exposed,
    maxAge: policy.maxAge || outer.maxAge,
    credentials: policy.credentials ?? outer.credentials,
    privateNetwork: policy.privateNetwork ?? outer.privateNetwork,
    forwardsOtherPreflights: policy.forwardsOtherPreflights ?? outer.forwardsOtherPreflights,
    enabled: policy.enabled,
    shadowEnabled: policy.shadowEnabled,
  };
}

export function allowsOrigin(policy: CorsPolicy, origin: string): boolean {
  return policy.origins.some((matcher) => matcher.matches("*") || matcher.matches(origin));
}
