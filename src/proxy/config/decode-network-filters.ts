// Network filters by type URL: each folder under network/filters reads its own message. The last one is terminal. A
// filter that is not known is refused: it could decide who may talk to whom, or speak the protocol that others need.
import type { Any } from "@bufbuild/protobuf/wkt";
import type { Origin } from "#base/issue.ts";
import type { Filter } from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import type { FilterPlace, NetworkFilterType, SettingsParser } from "../network/filter.ts";
import { networkFilterTypes } from "../network/filters/all.ts";
import { compileTextFormat } from "../observe/access-log/format.ts";
import { decodeAccessLogs } from "./decode-access-log.ts";
import { decodeConnectionManager } from "./decode-connection-manager.ts";
import { decodeDiscovery } from "./decode-discovery.ts";
import type { NetworkFilterConfig } from "./listener.ts";
import { typeName } from "./parse/values.ts";
import type { Problems } from "./problems.ts";

interface Reader {
  readonly filter: NetworkFilterType;
  readonly parser: SettingsParser<unknown>;
}

const readers: ReadonlyMap<string, Reader> = new Map(
  networkFilterTypes.flatMap((filter) =>
    filter.messages.map((parser): [string, Reader] => [parser.typeName, { filter, parser }]),
  ),
);

export function decodeNetworkFilters(
  filters: readonly Filter[],
  policyOrigins: ReadonlyMap<string, Origin>,
  path: string,
  problems: Problems,
): NetworkFilterConfig[] {
  const decoded = filters.flatMap((filter, i) => {
    const where = `${path}[${i}]`;
    return decodeNetworkFilter(filter, placeOf(filter.name, policyOrigins, where, problems)) ?? [];
  });
  if (decoded.at(-1)?.isTerminal !== true) {
    problems.invalid(path, "the last network filter must be terminal, as tcp_proxy or http_connection_manager");
  }
  if (decoded.slice(0, -1).some((filter) => filter.isTerminal)) {
    problems.invalid(path, "a terminal filter must be the last");
  }
  return decoded;
}

function placeOf(
  name: string,
  policyOrigins: ReadonlyMap<string, Origin>,
  path: string,
  problems: Problems,
): FilterPlace {
  return {
    name,
    path,
    problems,
    policyOrigins,
    accessLogs: (logs, at) => decodeAccessLogs(logs, at, problems),
    textFormat: (format, at) =>
      compileTextFormat(format, { omitEmptyValues: true }, (message) => problems.invalid(at, message)),
    connectionManager: (manager) => decodeConnectionManager(manager, policyOrigins, path, problems),
  };
}

/** Whether it is a message of a filter that this proxy has. */
export function isNetworkFilter(typeName: string): boolean {
  return readers.has(typeName);
}

/** Reads settings that stand apart from a chain. */
export function readNetworkFilter(
  name: string,
  any: Any,
  path: string,
  problems: Problems,
): NetworkFilterConfig | null {
  return read(any, placeOf(name, new Map(), path, problems));
}

function decodeNetworkFilter({ name, configType }: Filter, place: FilterPlace): NetworkFilterConfig | null {
  const { path, problems } = place;
  if (configType.case === undefined) {
    problems.invalid(path, `${name} has no configuration`);
    return null;
  }
  if (configType.case === "typedConfig") return read(configType.value, place);
  const readDefault = (config: Any, at: string): NetworkFilterConfig | null =>
    readNetworkFilter(name, config, at, problems);
  const discovery = decodeDiscovery(name, configType.value, readDefault, path, problems);
  if (discovery?.fallback?.isTerminal === true) problems.invalid(path, "what ends a chain cannot be discovered");
  return discovery && { ...empty, name, discovery };
}

const empty: Omit<NetworkFilterConfig, "name"> = {
  type: "",
  settings: null,
  isTerminal: false,
  clusters: [],
  readsServerName: false,
  http: null,
  decide: null,
};

function read(any: Any, place: FilterPlace): NetworkFilterConfig | null {
  const { name, path, problems } = place;
  const reader = readers.get(typeName(any));
  if (reader === undefined) {
    const why = protocols[typeName(any)];
    problems.unsupported(path, `the network filter ${name} (${why ?? typeName(any)})`);
    return null;
  }
  const settings = reader.parser.parse(any, place);
  if (settings === null) return null;
  const { type, isTerminal } = reader.filter;
  return {
    name,
    type,
    settings,
    isTerminal,
    clusters: reader.filter.clusters(settings),
    readsServerName: reader.filter.readsServerName(settings),
    http: reader.filter.http(settings),
    decide: reader.filter.decide(settings),
  };
}

const prefix = "envoy.extensions.filters.network.";

/** What people ask for most and what this proxy speaks as plain TCP, or not at all. */
const protocols: Readonly<Record<string, string>> = {
  [`${prefix}redis_proxy.v3.RedisProxy`]: "the Redis protocol; Redis passes through tcp_proxy",
  [`${prefix}mongo_proxy.v3.MongoProxy`]: "the MongoDB protocol; MongoDB passes through tcp_proxy",
  [`${prefix}mysql_proxy.v3.MySQLProxy`]: "the MySQL protocol; MySQL passes through tcp_proxy",
  [`${prefix}postgres_proxy.v3alpha.PostgresProxy`]: "the Postgres protocol; Postgres passes through tcp_proxy",
  [`${prefix}zookeeper_proxy.v3.ZooKeeperProxy`]: "the ZooKeeper protocol; ZooKeeper passes through tcp_proxy",
  [`${prefix}kafka_broker.v3.KafkaBroker`]: "the Kafka protocol; Kafka passes through tcp_proxy",
  [`${prefix}thrift_proxy.v3.ThriftProxy`]: "the Thrift protocol; Thrift passes through tcp_proxy",
  [`${prefix}dubbo_proxy.v3.DubboProxy`]: "the Dubbo protocol; Dubbo passes through tcp_proxy",
  [`${prefix}ratelimit.v3.RateLimit`]: "rate limits of a service",
  [`${prefix}wasm.v3.Wasm`]: "Wasm on connections",
};
