// HTTP filters by type URL. Filters that only observe, or that have nothing to do until a route configures them, are
// known and do nothing here; a filter that could decide who may talk to whom is refused when it is not implemented.
import type { Any } from "@bufbuild/protobuf/wkt";
import type { Origin } from "#base/issue.ts";
import { ExtAuthzSchema } from "#wire/gen/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.ts";
import { RBACSchema } from "#wire/gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.ts";
import type { HttpFilter } from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { ConfigSchema as PeerMetadataSchema } from "#wire/gen/istio/peer-metadata_pb.ts";
import { PluginConfigSchema } from "#wire/gen/istio/stats-filter_pb.ts";
import type { HttpFilterConfig } from "./http.ts";
import { denyUnasked, type ShadowRules } from "./parse/external-authorization.ts";
import { decodeRbac } from "./parse/rbac.ts";
import { typeName, unpack } from "./parse/values.ts";
import type { Problems } from "./problems.ts";

interface Place {
  readonly name: string;
  readonly any: Any;
  readonly path: string;
  readonly problems: Problems;
  readonly policyOrigins: ReadonlyMap<string, Origin>;
  /** Of the filters before; a filter adds its own. */
  readonly shadows: ShadowRules[];
}

export function decodeHttpFilters(
  filters: readonly HttpFilter[],
  policyOrigins: ReadonlyMap<string, Origin>,
  path: string,
  problems: Problems,
): HttpFilterConfig[] {
  const shadows: ShadowRules[] = [];
  const decoded = filters.flatMap((filter, i) => {
    const where = `${path}[${i}]`;
    if (filter.disabled) return [];
    const any = filter.configType.case === "typedConfig" ? filter.configType.value : undefined;
    const decode = decoders[typeName(any)];
    if (any === undefined) {
      if (filter.configType.case === undefined) problems.invalid(where, `${filter.name} has no configuration`);
      else problems.unsupported(where, `discovery of the filter ${filter.name}`);
      return [];
    }
    if (decode !== undefined) {
      return decode({ name: filter.name, any, path: where, problems, policyOrigins, shadows }) ?? [];
    }
    if (filter.isOptional || harmless.has(typeName(any))) problems.leftOut(where, `the HTTP filter ${filter.name}`);
    else problems.unsupported(where, `the HTTP filter ${filter.name} (${typeName(any)})`);
    return [];
  });
  const last = decoded.at(-1);
  if (last?.type !== "router") problems.invalid(path, "the last HTTP filter must be the router");
  if (decoded.slice(0, -1).some((filter) => filter.type === "router")) {
    problems.invalid(path, "the router must be the last HTTP filter");
  }
  return decoded;
}

/** Filters without which requests are still right for all clients that do not ask for them. */
const harmless: ReadonlySet<string> = new Set(["envoy.extensions.filters.http.grpc_web.v3.GrpcWeb"]);

const decoders: Readonly<Record<string, (place: Place) => HttpFilterConfig | null>> = {
  "envoy.extensions.filters.http.router.v3.Router": ({ name }) => ({ name, type: "router" }),
  [RBACSchema.typeName]: (place) => {
    const { name, any, path, problems, policyOrigins, shadows } = place;
    const config = unpack(any, RBACSchema, path, problems);
    if (config === null) return null;
    if (config.matcher !== undefined) problems.unsupported(`${path}.matcher`, "a matching tree");
    const shadowRules = decodeRbac(config.shadowRules, policyOrigins, `${path}.shadow_rules`, problems);
    if (shadowRules !== null) shadows.push({ statPrefix: config.shadowRulesStatPrefix, rules: shadowRules });
    const rules = decodeRbac(config.rules, policyOrigins, `${path}.rules`, problems);
    return { name, type: "rbac", rules, shadowRules };
  },
  [ExtAuthzSchema.typeName]: ({ name, any, path, problems, shadows }) => {
    const config = unpack(any, ExtAuthzSchema, path, problems);
    if (config === null) return null;
    const rules = denyUnasked(config.filterEnabledMetadata, shadows, path, problems);
    return { name, type: "rbac", rules, shadowRules: null };
  },
  [PluginConfigSchema.typeName]: ({ name, any, path, problems }) => {
    const config = unpack(any, PluginConfigSchema, path, problems);
    return { name, type: "istio_stats", disableHostHeaderFallback: config?.disableHostHeaderFallback ?? false };
  },
  [PeerMetadataSchema.typeName]: ({ name, any, path, problems }) => {
    const config = unpack(any, PeerMetadataSchema, path, problems);
    if (config === null) return null;
    return {
      name,
      type: "peer_metadata",
      downstreamPropagation: config.downstreamPropagation.length > 0,
      upstreamPropagation: config.upstreamPropagation.length > 0,
    };
  },
  "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig": ({ name }) => ({ name, type: "istio_alpn" }),
  "envoy.extensions.filters.http.fault.v3.HTTPFault": ({ name }) => ({ name, type: "fault" }),
  "envoy.extensions.filters.http.cors.v3.Cors": ({ name }) => ({ name, type: "cors" }),
  "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig": ({ name }) => ({ name, type: "grpc_stats" }),
};
