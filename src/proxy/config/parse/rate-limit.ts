// envoy.config.route.v3.RateLimit: actions compiled to functions.
import { parseAddress } from "#base/net/address-bytes.ts";
import type {
  RateLimit,
  RateLimit_Action,
  RateLimit_Action_MaskedRemoteAddress,
  RateLimit_Override,
} from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import { RateLimit_Action_MetaData_Source as MetadataSource } from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import type { MetadataKey } from "#wire/gen/envoy/type/metadata/v3/metadata_pb.ts";
import { RateLimitUnit } from "#wire/gen/envoy/type/v3/ratelimit_unit_pb.ts";
import type { Problems } from "../problems.ts";
import type { RateLimitAction, RateLimitRule } from "../rate-limit.ts";
import { decodeHeaderMatcher, decodeQueryMatcher } from "./matcher.ts";

const maxStage = 10;

export function decodeRateLimits(rateLimits: readonly RateLimit[], path: string, problems: Problems): RateLimitRule[] {
  return rateLimits.map((rule, i) => {
    const at = `${path}[${i}]`;
    const stage = rule.stage ?? 0;
    if (stage > maxStage) problems.invalid(`${at}.stage`, `${stage} is above ${maxStage}`);
    if (rule.disableKey !== "") problems.leftOut(`${at}.disable_key`, "a runtime key");
    if (rule.actions.length === 0) problems.invalid(`${at}.actions`, "is empty");
    return {
      stage,
      actions: rule.actions.map((action, k) => decodeAction(action, `${at}.actions[${k}]`, problems)),
      override: decodeOverride(rule.limit, `${at}.limit`, problems),
    };
  });
}

const none: RateLimitAction = () => null;

function decodeAction(action: RateLimit_Action, path: string, problems: Problems): RateLimitAction {
  const specifier = action.actionSpecifier;
  switch (specifier.case) {
    case "sourceCluster":
      return ({ sourceCluster }) => ({ key: "source_cluster", value: sourceCluster });
    case "destinationCluster":
      return ({ destinationCluster }) => ({ key: "destination_cluster", value: destinationCluster });
    case "remoteAddress":
      return ({ remoteIp }) => (remoteIp === "" ? null : { key: "remote_address", value: remoteIp });
    case "maskedRemoteAddress":
      return maskedAddress(specifier.value, `${path}.masked_remote_address`, problems);
    case "requestHeaders": {
      const { headerName, descriptorKey, skipIfAbsent } = specifier.value;
      const name = headerName.toLowerCase();
      if (name === "") problems.invalid(`${path}.request_headers.header_name`, "is missing");
      if (descriptorKey === "") problems.invalid(`${path}.request_headers.descriptor_key`, "is missing");
      return (subject) => entry(descriptorKey, subject.header(name), skipIfAbsent);
    }
    case "genericKey": {
      const { descriptorKey, descriptorValue } = specifier.value;
      if (descriptorValue === "") problems.invalid(`${path}.generic_key.descriptor_value`, "is missing");
      const made = { key: descriptorKey || "generic_key", value: descriptorValue };
      return () => made;
    }
    case "headerValueMatch": {
      const { descriptorKey, descriptorValue, expectMatch = true, headers } = specifier.value;
      const matchers = headers.map((it, i) =>
        decodeHeaderMatcher(it, `${path}.header_value_match.headers[${i}]`, problems),
      );
      const made = { key: descriptorKey || "header_match", value: descriptorValue };
      return (subject) => (matchers.every((it) => it.matches(subject.header(it.name))) === expectMatch ? made : null);
    }
    case "queryParameterValueMatch": {
      const { descriptorKey, descriptorValue, expectMatch = true, queryParameters } = specifier.value;
      const matchers = queryParameters.map((it, i) =>
        decodeQueryMatcher(it, `${path}.query_parameter_value_match.query_parameters[${i}]`, problems),
      );
      const made = { key: descriptorKey || "query_match", value: descriptorValue };
      return (subject) => {
        const query = queryOf(subject.path);
        return matchers.every((it) => it.matches(query.get(it.name) ?? undefined)) === expectMatch ? made : null;
      };
    }
    case "dynamicMetadata":
      return metadataText(specifier.value, false, false);
    case "metadata":
      return metadataText(
        specifier.value,
        specifier.value.source === MetadataSource.ROUTE_ENTRY,
        specifier.value.skipIfAbsent,
      );
    case "extension":
      problems.unsupported(`${path}.extension`, `the rate limit action ${specifier.value.name}`);
      return none;
    default:
      problems.invalid(path, "names no action");
      return none;
  }
}

function entry(key: string, value: string | undefined, skipIfAbsent: boolean): ReturnType<RateLimitAction> {
  if (value !== undefined && value !== "") return { key, value };
  return skipIfAbsent ? "skip" : null;
}

function queryOf(path: string): URLSearchParams {
  const start = path.indexOf("?");
  return new URLSearchParams(start < 0 ? "" : path.slice(start + 1));
}

function maskedAddress(
  { v4PrefixMaskLen = 32, v6PrefixMaskLen = 128 }: RateLimit_Action_MaskedRemoteAddress,
  path: string,
  problems: Problems,
): RateLimitAction {
  if (v4PrefixMaskLen > 32) problems.invalid(`${path}.v4_prefix_mask_len`, `${v4PrefixMaskLen} is above 32`);
  if (v6PrefixMaskLen > 128) problems.invalid(`${path}.v6_prefix_mask_len`, `${v6PrefixMaskLen} is above 128`);
  return ({ remoteIp }) => {
    const bytes = parseAddress(remoteIp);
    if (bytes === null) return null;
    const length = bytes.length === 4 ? v4PrefixMaskLen : v6PrefixMaskLen;
    return { key: "masked_remote_address", value: `${mask(bytes, length)}/${length}` };
  };
}

function mask(bytes: Uint8Array, length: number): string {
  const kept = bytes.map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, length - i * 8))));
  if (kept.length === 4) return kept.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => ((kept[i * 2]! << 8) | kept[i * 2 + 1]!).toString(16));
  // The URL parser writes IPv6 addresses in their canonical form (RFC 5952).
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}

/** The text at a path in metadata, dynamic or of the route. */
function metadataText(
  { descriptorKey, metadataKey, defaultValue }: MetadataEntry,
  isOfRoute: boolean,
  skipIfAbsent: boolean,
): RateLimitAction {
  const namespace = metadataKey?.key ?? "";
  return (subject) => {
    const root = isOfRoute ? subject.routeMetadata(namespace) : subject.metadata(namespace);
    return entry(descriptorKey, textOf(valueAt(root, metadataKey)) || defaultValue, skipIfAbsent);
  };
}

interface MetadataEntry {
  readonly descriptorKey: string;
  readonly metadataKey?: MetadataKey | undefined;
  readonly defaultValue: string;
}

/** Only texts count, as in Envoy. */
function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function valueAt(root: unknown, metadataKey: MetadataKey | undefined): unknown {
  let value = root;
  for (const { segment } of metadataKey?.path ?? []) {
    if (typeof value !== "object" || value === null || segment.case !== "key") return undefined;
    value = (value as Record<string, unknown>)[segment.value];
  }
  return value;
}

function decodeOverride(
  override: RateLimit_Override | undefined,
  path: string,
  problems: Problems,
): RateLimitRule["override"] {
  if (override === undefined) return null;
  const specifier = override.overrideSpecifier;
  if (specifier.case !== "dynamicMetadata") {
    problems.invalid(path, "names no override");
    return null;
  }
  const { metadataKey } = specifier.value;
  return (subject) => {
    const value = valueAt(subject.metadata(metadataKey?.key ?? ""), metadataKey);
    if (typeof value !== "object" || value === null) return null;
    const { requests_per_unit: requestsPerUnit, unit } = value as Record<string, unknown>;
    const number = typeof unit === "string" ? units[unit] : undefined;
    return typeof requestsPerUnit === "number" && number !== undefined ? { requestsPerUnit, unit: number } : null;
  };
}

const units: Readonly<Record<string, RateLimitUnit>> = RateLimitUnit;
