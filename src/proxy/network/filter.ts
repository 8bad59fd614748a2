// The contract of a network filter. A filter is one folder under `filters/`: it parses its message into settings once
// per configuration, and makes filter objects: one for all connections when it keeps no state of one, else one for each.
// The last filter of a chain is terminal: it has the connection to itself. There are no promises: a filter that must wait
// answers STOP and calls `connection.continue()` later; nothing is read meanwhile.
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { Origin } from "#base/issue.ts";
import type { AccessLog } from "#wire/gen/envoy/config/accesslog/v3/accesslog_pb.ts";
import type { HttpConnectionManager } from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import type { AccessLogEntry, AccessLogger } from "../config/access-log.ts";
import type { HttpConnectionManagerConfig } from "../config/http.ts";
import type { ConnectionDecide } from "../config/listener.ts";
import { unpack } from "../config/parse/values.ts";
import type { Problems } from "../config/problems.ts";
import type { NetworkConnection } from "./connection.ts";
import type { NetworkEnvironment } from "./environment.ts";

export type Verdict = 0 | 1;
/** Go on with the next filter. */
export const CONTINUE: Verdict = 0;
/** Stop here: until `connection.continue()`, or for good after `connection.refuse()`. */
export const STOP: Verdict = 1;

export interface NetworkFilter {
  /** The connection is there, and its TLS handshake is done. */
  onNewConnection?(connection: NetworkConnection): Verdict;
  /** The connection is gone. Called when `onNewConnection` was. */
  onClose?(connection: NetworkConnection): void;
}

export interface NetworkFilterFactory {
  /** The one object for all connections, or null when `create` must make one for each. */
  readonly shared: NetworkFilter | null;
  create(): NetworkFilter;
}

/** A connection that a terminal filter has taken over. It tells its end with `connection.closed()`. */
export interface ServedConnection {
  /** Asks it to end when it can do so without losing anything. */
  drain(): void;
  destroy(): void;
}

/** What the last filter of a chain does. */
export interface Terminal {
  serve(connection: NetworkConnection): ServedConnection;
  /** A filter before refused the connection, which is being closed: for logs. */
  refused?(connection: NetworkConnection): void;
}

/** What a filter gets when it is made from its settings. */
interface FilterContext {
  readonly environment: NetworkEnvironment;
  /** Its name in the chain. */
  readonly name: string;
}

/** Where settings stand, and what the configuration's own decoders can read for a filter. */
export interface FilterPlace {
  readonly name: string;
  readonly path: string;
  readonly problems: Problems;
  readonly policyOrigins: ReadonlyMap<string, Origin>;
  readonly accessLogs: (logs: readonly AccessLog[], path: string) => AccessLogger[];
  /** A text with the operators of access logs, of which absent ones are nothing. */
  readonly textFormat: (format: string, path: string) => (entry: AccessLogEntry) => string;
  readonly connectionManager: (manager: HttpConnectionManager) => HttpConnectionManagerConfig;
}

/** Reads settings out of one type of message. */
export interface SettingsParser<S> {
  readonly typeName: string;
  parse(any: Any, place: FilterPlace): S | null;
}

/** A filter's place in the proxy, with the types of its settings forgotten. */
export interface NetworkFilterType {
  /** As its folder, with underscores. */
  readonly type: string;
  readonly messages: readonly SettingsParser<unknown>[];
  readonly isTerminal: boolean;
  clusters(settings: unknown): readonly string[];
  readsServerName(settings: unknown): boolean;
  http(settings: unknown): HttpConnectionManagerConfig | null;
  decide(settings: unknown): ConnectionDecide | null;
  /** Null for a filter without a hook of its own. */
  configure(settings: unknown, context: FilterContext): NetworkFilterFactory | null;
  /** Null for a filter that is not terminal. */
  terminal(settings: unknown, context: FilterContext): Terminal | null;
}

export interface NetworkFilterDefinition<S> {
  readonly type: string;
  readonly messages: readonly SettingsParser<S>[];
  /** Clusters that it may send to. */
  readonly clusters?: (settings: S) => readonly string[];
  /** It decides by the server name of a hello. */
  readonly readsServerName?: (settings: S) => boolean;
  readonly http?: (settings: S) => HttpConnectionManagerConfig;
  readonly decide?: (settings: S) => ConnectionDecide;
  readonly configure?: (settings: S, context: FilterContext) => NetworkFilterFactory;
  /** With it the filter is terminal. */
  readonly terminal?: (settings: S, context: FilterContext) => Terminal;
}

/** Makes a filter type. Settings that its own parsers made come back to it, so the casts here are true. */
export function defineNetworkFilter<S>(definition: NetworkFilterDefinition<S>): NetworkFilterType {
  return {
    type: definition.type,
    messages: definition.messages,
    isTerminal: definition.terminal !== undefined,
    clusters: (settings) => definition.clusters?.(settings as S) ?? [],
    readsServerName: (settings) => definition.readsServerName?.(settings as S) ?? false,
    http: (settings) => definition.http?.(settings as S) ?? null,
    decide: (settings) => definition.decide?.(settings as S) ?? null,
    configure: (settings, context) => definition.configure?.(settings as S, context) ?? null,
    terminal: (settings, context) => definition.terminal?.(settings as S, context) ?? null,
  };
}

/** Settings from a message that the proxy knows. `parse` answers null after it told a problem. */
export function settingsFrom<Desc extends DescMessage, S>(
  schema: Desc,
  parse: (message: MessageShape<Desc>, place: FilterPlace) => S | null,
): SettingsParser<S> {
  return {
    typeName: schema.typeName,
    parse: (any, place) => {
      const message = unpack(any, schema, place.path, place.problems);
      return message === null ? null : parse(message, place);
    },
  };
}

export function sharedFilter(filter: NetworkFilter): NetworkFilterFactory {
  return { shared: filter, create: () => filter };
}
