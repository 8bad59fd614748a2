// What a route puts in place of a request's host before it is looked up.
import type { PerRouteConfig } from "#wire/gen/envoy/extensions/filters/http/dynamic_forward_proxy/v3/dynamic_forward_proxy_pb.ts";
import type { FilterPlace } from "../../filter.ts";

export type HostRewrite =
  | { readonly type: "literal"; readonly host: string }
  | { readonly type: "header"; readonly name: string }
  | { readonly type: "none" };

export function parseHostRewrite(
  { hostRewriteSpecifier }: PerRouteConfig,
  { path, problems }: FilterPlace,
): HostRewrite {
  switch (hostRewriteSpecifier.case) {
    case "hostRewriteLiteral":
      return hostRewriteSpecifier.value === ""
        ? { type: "none" }
        : { type: "literal", host: hostRewriteSpecifier.value };
    case "hostRewriteHeader":
      return hostRewriteSpecifier.value === ""
        ? { type: "none" }
        : { type: "header", name: hostRewriteSpecifier.value.toLowerCase() };
    default:
      problems.invalid(path, "rewrites nothing");
      return { type: "none" };
  }
}

/** Undefined: the request keeps its host. */
export function hostOf(rewrite: HostRewrite, header: (name: string) => string | undefined): string | undefined {
  switch (rewrite.type) {
    case "literal":
      return rewrite.host;
    case "header":
      return header(rewrite.name) || undefined;
    case "none":
      return undefined;
  }
}
