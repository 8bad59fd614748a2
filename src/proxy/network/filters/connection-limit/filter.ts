// Limits how many connections a filter chain has at a time. One too many is closed, after a delay when one is set, so
// that clients that try again at once are slowed down.
import type { ProcessCell } from "#base/threads/process-cells.ts";
import {
  type ConnectionLimit,
  ConnectionLimitSchema,
} from "#wire/gen/envoy/extensions/filters/network/connection_limit/v3/connection_limit_pb.ts";
import { milliseconds } from "../../../config/parse/values.ts";
import type { ConnectionInfo } from "../../../transport/connection-info.ts";
import type { NetworkConnection } from "../../connection.ts";
import {
  CONTINUE,
  defineNetworkFilter,
  type FilterPlace,
  type NetworkFilterType,
  STOP,
  settingsFrom,
} from "../../filter.ts";

interface ConnectionLimitSettings {
  readonly statPrefix: string;
  readonly maxConnections: number;
  readonly delayMs: number;
}

/** While a delay runs the connection is held: of these there may be as many as of good ones. */
export const connectionLimit: NetworkFilterType = defineNetworkFilter<ConnectionLimitSettings>({
  type: "connection_limit",
  messages: [settingsFrom(ConnectionLimitSchema, parse)],
  configure: ({ statPrefix, maxConnections, delayMs }, { environment }) => {
    const { stats, loop } = environment.http;
    const limited = stats.counter(`connection_limit.${statPrefix}.limited_connections`);
    const active = stats.gauge(`connection_limit.${statPrefix}.active_connections`);
    let count = 0;
    let cell: ProcessCell | null | undefined;
    const take = ({ filterChainName, listenerName }: ConnectionInfo): boolean => {
      // Where the filter stands is told by the first connection, the same in every thread.
      cell ??=
        environment.http.cells?.claim(
          `connection_limit\n${listenerName}\n${filterChainName}\n${statPrefix}\n${maxConnections}`,
        ) ?? null;
      if (!(cell?.take(0, maxConnections) ?? count < maxConnections)) return false;
      count++;
      return true;
    };
    let delayed = 0;
    const refuse = (connection: NetworkConnection): void =>
      connection.refuse({
        flag: "",
        details: "connection_limit_reached",
        cause: `the connection limit of ${maxConnections} is reached`,
      });
    return {
      shared: null,
      create: () => {
        let isCounted = false;
        return {
          onNewConnection: (connection) => {
            if (take(connection.info)) {
              isCounted = true;
              active.add(1);
              return CONTINUE;
            }
            limited.add();
            if (delayMs === 0 || delayed >= maxConnections) {
              refuse(connection);
              return STOP;
            }
            delayed++;
            loop.after(delayMs, () => {
              delayed--;
              refuse(connection);
            });
            return STOP;
          },
          onClose: () => {
            if (!isCounted) return;
            count--;
            cell?.give(0);
            active.add(-1);
          },
        };
      },
    };
  },
});

function parse(message: ConnectionLimit, { path, problems }: FilterPlace): ConnectionLimitSettings | null {
  const maxConnections = Number(message.maxConnections ?? 0n);
  if (maxConnections < 1) problems.invalid(`${path}.max_connections`, "must be at least 1");
  const isOff = message.runtimeEnabled?.defaultValue === false;
  return {
    statPrefix: message.statPrefix,
    maxConnections: isOff ? Number.POSITIVE_INFINITY : maxConnections,
    delayMs: milliseconds(message.delay, 0),
  };
}
