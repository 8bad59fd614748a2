// The principal side of an authorization rule: peer identity, addresses, JWT claims and request headers.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Principal, PrincipalSchema } from "#wire/gen/envoy/config/rbac/v3/rbac_pb.ts";
import type { StringMatcher } from "#wire/gen/envoy/type/matcher/v3/string_pb.ts";
import { cidrRange, exactMatcher, prefixMatcher, quoteRegex, regexMatcher, suffixMatcher } from "../../envoy-values.ts";
import type { Attribute, Combine } from "./condition.ts";
import { bracketNames, claimMatch, claimStringMatch } from "./metadata-match.ts";
import { anyValue, headerPattern, stringPattern } from "./string-pattern.ts";

type Identifier = NonNullable<Exclude<MessageInitShape<typeof PrincipalSchema>, { $typeName: string }>["identifier"]>;

const principal = (identifier: Identifier): Principal => create(PrincipalSchema, { identifier });

export const anyPrincipal: Principal = principal({ case: "any", value: true });

export function allPrincipals(ids: Principal[]): Principal {
  return principal({ case: "andIds", value: { ids } });
}

export const combinePrincipals: Combine<Principal> = {
  any: (ids) => principal({ case: "orIds", value: { ids } }),
  not: (id) => principal({ case: "notId", value: id }),
  isWhole: (attribute) => wholeAttributes.has(attribute),
};

function each(one: (value: string) => Principal | undefined): Attribute<Principal> {
  return { httpOnly: false, matchers: (values) => values.map(one) };
}

const peer = (matcher: StringMatcher): Principal =>
  principal({ case: "authenticated", value: { principalName: matcher } });

export const sourcePrincipal: Attribute<Principal> = each((value) => peer(stringPattern(value, "spiffe://")));

export const sourceNamespace: Attribute<Principal> = each((value) =>
  peer(regexMatcher(`.*/ns/${quotePattern(value)}/.*`)),
);

export const sourceTrustDomain: Attribute<Principal> = each((value) =>
  peer(regexMatcher(`spiffe://${quotePattern(value)}/.*`)),
);

/** Service accounts are `ns/sa`, or `sa` of the policy's namespace. */
export function sourceServiceAccount(policyNamespace: string): Attribute<Principal> {
  return each((value) => {
    const slash = value.indexOf("/");
    const namespace = slash === -1 ? policyNamespace : value.slice(0, slash);
    const account = value.slice(slash + 1);
    return peer(regexMatcher(`spiffe://.+/ns/${quoteRegex(namespace)}/(.+/|)sa/${quoteRegex(account)}(/.+)?`));
  });
}

/** Address of the direct peer. */
export const sourceIp: Attribute<Principal> = each((value) => {
  const range = cidrRange(value);
  return range && principal({ case: "directRemoteIp", value: range });
});

/** Address of the client after trusted hops and PROXY protocol. */
export const remoteIp: Attribute<Principal> = each((value) => {
  const range = cidrRange(value);
  return range && principal({ case: "remoteIp", value: range });
});

export const requestHeader: Attribute<Principal> = {
  httpOnly: true,
  matchers: (values, key) => {
    const [name, ...rest] = bracketNames(key.slice("request.headers".length)) ?? [];
    if (name === undefined || name === "" || rest.length > 0) return [undefined];
    return values.map((value) => principal({ case: "header", value: headerPattern(name, value) }));
  },
};

/** `iss/sub` of a validated token; the issuer may be a URL, so the last slash parts them. */
export const requestPrincipal: Attribute<Principal> = {
  httpOnly: true,
  matchers: (values) => {
    const ids = values.map((value) => {
      const { issuer, subject } = issuerAndSubject(value);
      return allPrincipals([
        principal({ case: "metadata", value: claimStringMatch("iss", issuer) }),
        principal({ case: "metadata", value: claimStringMatch("sub", subject) }),
      ]);
    });
    return ids.length === 1 ? ids : [combinePrincipals.any(ids)];
  },
};

const claim = (name: string): Attribute<Principal> => ({
  httpOnly: true,
  matchers: (values) => [principal({ case: "metadata", value: claimMatch([name], values) })],
});

export const requestAudiences: Attribute<Principal> = claim("aud");
export const requestPresenter: Attribute<Principal> = claim("azp");

export const requestClaims: Attribute<Principal> = {
  httpOnly: true,
  matchers: (values, key) => {
    const names = bracketNames(key.slice("request.auth.claims".length));
    return [names && principal({ case: "metadata", value: claimMatch(names, values) })];
  },
};

const wholeAttributes: ReadonlySet<Attribute<Principal>> = new Set([
  requestPrincipal,
  requestAudiences,
  requestPresenter,
  requestClaims,
]);

function issuerAndSubject(value: string): { issuer: StringMatcher; subject: StringMatcher } {
  const slash = value.lastIndexOf("/");
  const hasSubject = slash !== -1;
  const issuer = hasSubject ? value.slice(0, slash) : value;
  const subject = hasSubject ? value.slice(slash + 1) : "";
  if (value === "*") return { issuer: anyValue, subject: anyValue };
  if (value.startsWith("*")) {
    if (!hasSubject) return { issuer: anyValue, subject: suffixMatcher(value.slice(1)) };
    return { issuer: issuer === "*" ? anyValue : suffixMatcher(issuer.slice(1)), subject: exactMatcher(subject) };
  }
  if (value.endsWith("*")) {
    if (!hasSubject) return { issuer: prefixMatcher(value.slice(0, -1)), subject: anyValue };
    return {
      issuer: exactMatcher(issuer),
      subject: subject === "*" ? anyValue : prefixMatcher(subject.slice(0, -1)),
    };
  }
  return { issuer: exactMatcher(issuer), subject: exactMatcher(subject) };
}

/** Quotes all but `*`, which stands for anything. */
function quotePattern(pattern: string): string {
  return pattern.split("*").map(quoteRegex).join(".*");
}
