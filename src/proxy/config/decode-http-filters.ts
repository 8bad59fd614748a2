// HTTP filters by type URL: each folder under http/filters reads its own messages. A filter that could decide who may
// talk to whom is refused when it is not implemented.
import type { DescMessage } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { Origin } from "#base/issue.ts";
import { type FilterConfig, FilterConfigSchema } from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import type { HttpFilter } from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import type { FilterPlace, HttpFilterType, SettingsParser } from "../http/filter.ts";
import { httpFilterTypes } from "../http/filters/all.ts";
import { decodeDiscovery } from "./decode-discovery.ts";
import type { HttpFilterConfig, RouteFilterConfig, RouteFilterConfigs } from "./http.ts";
import { typeName, unpack } from "./parse/values.ts";
import type { Problems } from "./problems.ts";
import { whyRefused } from "./refused-filters.ts";

interface Reader {
  readonly filter: HttpFilterType;
  readonly parser: SettingsParser<unknown>;
}

function readers(parsersOf: (filter: HttpFilterType) => readonly SettingsParser<unknown>[]): Map<string, Reader> {
  return new Map(
    httpFilterTypes.flatMap((filter) =>
      parsersOf(filter).map((parser): [string, Reader] => [parser.typeName, { filter, parser }]),
    ),
  );
}

const chainReaders: ReadonlyMap<string, Reader> = readers((filter) => filter.messages);
const routeReaders: ReadonlyMap<string, Reader> = readers((filter) => filter.routeMessages);

/** Every message of a filter, for JSON. */
export function httpFilterMessages(): DescMessage[] {
  const parsers = httpFilterTypes.flatMap(({ messages, routeMessages }) => [...messages, ...routeMessages]);
  const extensions = httpFilterTypes.flatMap((filter) => filter.extensions);
  return [FilterConfigSchema, ...new Set([...parsers.flatMap(({ schema }) => schema ?? []), ...extensions])];
}

export function decodeHttpFilters(
  filters: readonly HttpFilter[],
  policyOrigins: ReadonlyMap<string, Origin>,
  path: string,
  problems: Problems,
): HttpFilterConfig[] {
  const decoded = filters.flatMap((filter, i) => {
    const place: FilterPlace = { name: filter.name, path: `${path}[${i}]`, problems, policyOrigins };
    return decodeHttpFilter(filter, place) ?? [];
  });
  if (decoded.at(-1)?.type !== "router") problems.invalid(path, "the last HTTP filter must be the router");
  if (decoded.slice(0, -1).some((filter) => filter.type === "router")) {
    problems.invalid(path, "the router must be the last HTTP filter");
  }
  return decoded;
}

/** Whether it is a message of a filter that this proxy has. */
export function isHttpFilter(typeName: string): boolean {
  return chainReaders.has(typeName);
}

/** Reads settings that stand apart from a chain; of a type that `isHttpFilter`. */
export function readHttpFilter(name: string, any: Any, path: string, problems: Problems): HttpFilterConfig | null {
  const reader = chainReaders.get(typeName(any));
  if (reader === undefined) {
    problems.unsupported(path, `the HTTP filter ${name} (${whyRefused(typeName(any))})`);
    return null;
  }
  const settings = reader.parser.parse(any, { name, path, problems, policyOrigins: new Map() });
  if (settings === null) return null;
  const { type } = reader.filter;
  return { name, type, settings, disabled: false, decide: reader.filter.decide(settings) };
}

function decodeHttpFilter(filter: HttpFilter, place: FilterPlace): HttpFilterConfig | null {
  const { problems, path } = place;
  const { name, disabled, configType } = filter;
  if (configType.case === undefined) {
    problems.invalid(path, `${name} has no configuration`);
    return null;
  }
  if (configType.case === "configDiscovery") {
    const read = (config: Any, at: string): HttpFilterConfig | null => readHttpFilter(name, config, at, problems);
    const discovery = decodeDiscovery(name, configType.value, read, path, problems);
    if (discovery?.fallback?.type === "router") problems.invalid(path, "the router cannot be discovered");
    return discovery && { name, type: "", settings: null, disabled, decide: null, discovery };
  }
  const any = configType.value;
  const reader = chainReaders.get(typeName(any));
  if (reader === undefined) {
    if (filter.isOptional) problems.leftOut(path, `the HTTP filter ${filter.name}`);
    else problems.unsupported(path, `the HTTP filter ${filter.name} (${whyRefused(typeName(any))})`);
    return null;
  }
  const settings = reader.parser.parse(any, place);
  if (settings === null) return null;
  const { type } = reader.filter;
  return { name: filter.name, type, settings, disabled: filter.disabled, decide: reader.filter.decide(settings) };
}

/**
 * Reads `typed_per_filter_config` and puts `outer` (of the virtual host, of the table) behind it. Null: there is none.
 */
export function decodeRouteFilters(
  configs: Readonly<Record<string, Any>>,
  outer: RouteFilterConfigs | null,
  path: string,
  problems: Problems,
): RouteFilterConfigs | null {
  const entries = Object.entries(configs);
  if (entries.length === 0) return outer;
  const merged = new Map(outer ?? []);
  for (const [name, any] of entries) {
    const decoded = decodeRouteFilter(name, any, `${path}.typed_per_filter_config["${name}"]`, problems);
    if (decoded !== null) merged.set(name, [decoded, ...(outer?.get(name) ?? [])]);
  }
  return merged.size === 0 ? null : merged;
}

function decodeRouteFilter(name: string, any: Any, path: string, problems: Problems): RouteFilterConfig | null {
  if (typeName(any) !== FilterConfigSchema.typeName) return routeSettings(name, any, false, path, problems);
  const wrapper = unpack(any, FilterConfigSchema, path, problems);
  if (wrapper === null) return null;
  return unwrap(name, wrapper, path, problems);
}

function unwrap(name: string, wrapper: FilterConfig, path: string, problems: Problems): RouteFilterConfig | null {
  const { config, disabled, isOptional } = wrapper;
  if (disabled) return { type: "", settings: null, disabled };
  // An entry without settings switches on a filter that is off in its chain.
  if (config === undefined || config.typeUrl === "" || typeName(config) === FilterConfigSchema.typeName) {
    return { type: "", settings: null, disabled: false };
  }
  return routeSettings(name, config, isOptional, path, problems);
}

function routeSettings(
  name: string,
  any: Any,
  isOptional: boolean,
  path: string,
  problems: Problems,
): RouteFilterConfig | null {
  const reader = routeReaders.get(typeName(any));
  if (reader === undefined) {
    if (isOptional) problems.leftOut(path, `the filter ${name}`);
    else problems.unsupported(path, `the filter ${name} (${whyRefused(typeName(any))})`);
    return null;
  }
  const settings = reader.parser.parse(any, { name, path, problems, policyOrigins: new Map() });
  return settings === null ? null : { type: reader.filter.type, settings, disabled: false };
}
