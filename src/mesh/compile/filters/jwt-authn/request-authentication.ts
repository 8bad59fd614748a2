// RequestAuthentications of a workload as one `jwt_authn` filter: a provider per rule (`origins-0`, ...), by issuer. A
// token that is there must be good; whether one must be there is for AuthorizationPolicies to say.

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  JwtAuthenticationSchema,
  type JwtProvider,
  JwtProviderSchema,
  type JwtRequirement,
  JwtRequirementSchema,
} from "#wire/gen/envoy/extensions/filters/http/jwt_authn/v3/config_pb.ts";
import type { JwtRule } from "../../../kinds/request-authentication/spec.ts";
import { originAt } from "../../../objects/mesh-object.ts";
import type { KeyPlan, KeyPlanner } from "../../../snapshot/key-plan.ts";
import { type KeySets, keySourceName } from "../../../snapshot/key-sets.ts";
import type { ApplicableJwtRule } from "../../../snapshot/snapshot.ts";
import { milliseconds } from "../../envoy-values.ts";
import { outboundClusterName } from "../../names.ts";
import { httpFilter } from "../http-filters.ts";
import type { Authorization } from "../rbac/authorization.ts";
import { unmatchedKeys } from "./unmatched-keys.ts";

export interface AuthenticationSettings {
  readonly keyPlan: KeyPlanner;
  /** Undefined where the control plane fetches no keys. */
  readonly keySets: KeySets | undefined;
  /** Routes may depend on claims, and are chosen again. */
  readonly choosesRouteAgain: boolean;
}

/** The filter with the place of each provider's rule; empty without rules. */
export function requestAuthentication(
  rules: readonly ApplicableJwtRule[],
  settings: AuthenticationSettings,
): Pick<Authorization, "http" | "origins"> {
  if (rules.length === 0) return { http: [], origins: new Map() };
  const nameOf = (index: number): string => `origins-${index}`;
  const names = rules.map((_, index) => nameOf(index));
  return {
    http: [
      httpFilter("envoy.filters.http.jwt_authn", JwtAuthenticationSchema, {
        providers: Object.fromEntries(rules.map(({ rule }, index) => [nameOf(index), provider(rule, settings)])),
        rules: [
          {
            match: { pathSpecifier: { case: "prefix", value: "/" } },
            requirementType: { case: "requires", value: requirementOf(names) },
          },
        ],
        bypassCorsPreflight: true,
      }),
    ],
    origins: new Map(
      rules.map(({ policy, index: place }, index) => [nameOf(index), originAt(policy, `spec.jwtRules[${place}]`)]),
    ),
  };
}

type RequirementInit = Exclude<MessageInitShape<typeof JwtRequirementSchema>, { $typeName: string }>;

const requirement = (requiresType: NonNullable<RequirementInit["requiresType"]>): JwtRequirement =>
  create(JwtRequirementSchema, { requiresType });

/**
 * One provider: its token or none. Several: the token of any, or of each that has one. The first half is for providers
 * that read the same place, where the token of one is never one of the others.
 */
function requirementOf(names: readonly string[]): JwtRequirement {
  const tokenOf = (name: string): JwtRequirement => requirement({ case: "providerName", value: name });
  const anyOf = (requirements: JwtRequirement[]): JwtRequirement =>
    requirement({ case: "requiresAny", value: { requirements } });
  const tokenOrNone = names.map((name) => anyOf([tokenOf(name), requirement({ case: "allowMissing", value: {} })]));
  const [only] = tokenOrNone;
  if (only !== undefined && tokenOrNone.length === 1) return only;
  return anyOf([...names.map(tokenOf), requirement({ case: "requiresAll", value: { requirements: tokenOrNone } })]);
}

function provider(rule: JwtRule, settings: AuthenticationSettings): JwtProvider {
  return create(JwtProviderSchema, {
    issuer: rule.issuer,
    audiences: [...rule.audiences],
    jwksSourceSpecifier: keysOf(settings.keyPlan(rule), settings.keySets),
    forward: rule.forwardOriginalToken,
    forwardPayloadHeader: rule.outputPayloadToHeader,
    fromHeaders: rule.fromHeaders.map(({ name, prefix }) => ({ name, valuePrefix: prefix })),
    fromParams: [...rule.fromParams],
    fromCookies: [...rule.fromCookies],
    claimToHeaders: rule.outputClaimToHeaders.map(({ header, claim }) => ({ headerName: header, claimName: claim })),
    payloadInMetadata: "payload",
    normalizePayloadInMetadata: {
      spaceDelimitedClaims: [...new Set([...rule.spaceDelimitedClaims, "permission", "scope"])].sort(),
    },
    clearRouteCache: settings.choosesRouteAgain,
  });
}

type ProviderInit = Exclude<MessageInitShape<typeof JwtProviderSchema>, { $typeName: string }>;
type KeysInit = NonNullable<ProviderInit["jwksSourceSpecifier"]>;

/** As long as Istio lets proxies keep what they fetched. */
const cacheMs = 5 * 60_000;

/** Without keys no token is good, and the filter is there all the same. */
function keysOf(plan: KeyPlan, keySets: KeySets | undefined): KeysInit {
  if (plan.by === "nobody") return inline(plan.keys);
  const { url, timeoutMs } = plan.source;
  if (plan.by === "proxy") {
    const cluster = outboundClusterName(plan.port, "", plan.hostname);
    const httpUri = {
      uri: url,
      httpUpstreamType: { case: "cluster", value: cluster },
      timeout: milliseconds(timeoutMs),
    } as const;
    return { case: "remoteJwks", value: { httpUri, cacheDuration: milliseconds(cacheMs) } };
  }
  if (keySets === undefined) return inline(unmatchedKeys(`from ${url}, which only the control plane asks`));
  const fetched = keySets.get(keySourceName(plan.source));
  if (fetched === undefined) return inline(unmatchedKeys(`from ${url}, which was not asked yet`));
  return inline("keys" in fetched ? fetched.keys : unmatchedKeys(`from ${url}, which gave none: ${fetched.failure}`));
}

function inline(keys: string): KeysInit {
  return { case: "localJwks", value: { specifier: { case: "inlineString", value: keys } } };
}
