// Network filters by type URL: each folder under network/filters reads its own message. The last one is terminal. A
// filter that is not known is refused: it could decide who may talk to whom, or speak the protocol that others need.
import type { Origin } from "#base/issue.ts";
import type { Filter } from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import type { FilterPlace, NetworkFilterType, SettingsParser } from "../network/filter.ts";
import { networkFilterTypes } from "../network/filters/all.ts";
import { compileTextFormat } from "../observe/access-log/format.ts";
import { decodeAccessLogs } from "./decode-access-log.ts";
import { decodeConnectionManager } from "./decode-connection-manager.ts";
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
    const place: FilterPlace = {
      name: filter.name,
      path: where,
      problems,
      policyOrigins,
      accessLogs: (logs, at) => decodeAccessLogs(logs, at, problems),
      textFormat: (format, at) =>
        compileTextFormat(format, { omitEmptyValues: true }, (message) => problems.invalid(at, message)),
      connectionManager: (manager) => decodeConnectionManager(manager, policyOrigins, where, problems),
    };
    return decodeNetworkFilter(filter, place) ?? [];
  });
  if (decoded.at(-1)?.isTerminal !== true) {
    problems.invalid(path, "the last network filter must be terminal, as tcp_proxy or http_connection_manager");
  }
  if (decoded.slice(0, -1).some((filter) => filter.isTerminal)) {
    problems.invalid(path, "a terminal filter must be the last");
  }
  return decoded;
}

function decodeNetworkFilter(filter: Filter, place: FilterPlace): NetworkFilterConfig | null {
  const { path, problems } = place;
  const any = filter.configType.case === "typedConfig" ? filter.configType.value : undefined;
  if (any === undefined) {
    if (filter.configType.case === undefined) problems.invalid(path, `${filter.name} has no configuration`);
    else problems.unsupported(path, `discovery of the filter ${filter.name}`);
    return null;
  }
  const reader = readers.get(typeName(any));
  if (reader === undefined) {
    const why = protocols[typeName(any)];
    problems.unsupported(path, `the network filter ${filter.name} (${why ?? typeName(any)})`);
    return null;
  }
  const settings = reader.parser.parse(any, place);
  if (settings === null) return null;
  const { type, isTerminal } = reader.filter;
  return {
    name: filter.name,
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
