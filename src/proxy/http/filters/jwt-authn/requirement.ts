// What a request must show: a tree of providers. Missing and bad tokens are told apart, because a tree may allow the one
// and not the other.
import type { JwtRequirement } from "#wire/gen/envoy/extensions/filters/http/jwt_authn/v3/config_pb.ts";
import { refuseUnknown } from "../../../config/parse/values.ts";
import type { Problems } from "../../../config/problems.ts";
import type { JwtProvider } from "./settings.ts";

export type Requirement =
  /** Every token is allowed, also none. Nothing is looked at. */
  | { readonly type: "none" }
  | { readonly type: "provider"; readonly provider: JwtProvider; readonly audiences: readonly string[] }
  | { readonly type: "any" | "all"; readonly of: readonly Requirement[] }
  /** Tokens of any provider may be missing, and also fail when `failed`. */
  | { readonly type: "allow_missing"; readonly failed: boolean };

export const noRequirement: Requirement = { type: "none" };

const maxDepth = 32;

export function decodeRequirement(
  message: JwtRequirement,
  providers: ReadonlyMap<string, JwtProvider>,
  path: string,
  problems: Problems,
  depth = 0,
): Requirement {
  refuseUnknown(message, path, problems);
  if (depth > maxDepth) {
    problems.invalid(path, `is nested deeper than ${maxDepth}`);
    return noRequirement;
  }
  const type = message.requiresType;
  switch (type.case) {
    case "providerName":
      return ofProvider(type.value, null, providers, `${path}.provider_name`, problems);
    case "providerAndAudiences":
      return ofProvider(
        type.value.providerName,
        type.value.audiences,
        providers,
        `${path}.provider_and_audiences.provider_name`,
        problems,
      );
    case "requiresAny":
    case "requiresAll": {
      const step = type.case === "requiresAny" ? "requires_any" : "requires_all";
      const list = type.value.requirements;
      if (list.length < 2) problems.invalid(`${path}.${step}.requirements`, "has fewer than two");
      const of = list.map((it, i) =>
        decodeRequirement(it, providers, `${path}.${step}.requirements[${i}]`, problems, depth + 1),
      );
      return { type: type.case === "requiresAny" ? "any" : "all", of };
    }
    case "allowMissing":
      return { type: "allow_missing", failed: false };
    case "allowMissingOrFailed":
      return { type: "allow_missing", failed: true };
    case undefined:
      return noRequirement;
  }
}

function ofProvider(
  name: string,
  audiences: readonly string[] | null,
  providers: ReadonlyMap<string, JwtProvider>,
  path: string,
  problems: Problems,
): Requirement {
  const provider = providers.get(name);
  if (provider === undefined) {
    problems.invalid(path, `"${name}" is not among the providers`);
    return noRequirement;
  }
  return { type: "provider", provider, audiences: audiences?.map(plainAudience) ?? provider.audiences };
}

/** Audiences are the same with and without scheme and final slash, as in Envoy. */
export function plainAudience(audience: string): string {
  return audience.replace(/^https?:\/\//, "").replace(/\/$/, "");
}
