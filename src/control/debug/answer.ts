// What every debug endpoint is asked with and answers.
import type { Issue } from "#base/issue.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import type { Pusher } from "../push/pusher.ts";
import type { ProxyConnection } from "../xds/connection.ts";
import type { ConnectionTable } from "../xds/connection-table.ts";

export interface DebugState {
  readonly connections: ConnectionTable;
  readonly pusher: Pusher;
  /** The newest; what was pushed may be older. */
  readonly snapshot: () => MeshSnapshot | undefined;
  /** Of sources: what could not even be read. */
  readonly sourceIssues: () => readonly Issue[];
  /** What the injector works with; undefined where nothing is injected. */
  readonly injection: () => unknown;
  readonly now: () => number;
}

/** As text, with maps and sets as objects and lists. */
export function debugJson(value: unknown): string {
  return JSON.stringify(value, jsonValue);
}

function jsonValue(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Map) return Object.fromEntries(value);
  return value instanceof Set ? [...value] : value;
}

/** An answer, or a status code with a sentence. */
export type DebugAnswer = { readonly json: unknown } | { readonly code: number; readonly message: string };

export interface Endpoint {
  readonly help: string;
  answer(state: DebugState, query: URLSearchParams): Promise<DebugAnswer> | DebugAnswer;
}

export function withSnapshot(state: DebugState, answer: (snapshot: MeshSnapshot) => unknown): DebugAnswer {
  const snapshot = state.snapshot();
  return snapshot === undefined ? { code: 503, message: "no snapshot yet" } : { json: answer(snapshot) };
}

/** For the proxy that the query names; what it gives back is the answer. */
export async function forProxy(
  state: DebugState,
  query: URLSearchParams,
  answer: (connection: ProxyConnection) => unknown,
): Promise<DebugAnswer> {
  const wanted = query.get("proxyID");
  if (wanted === null || wanted === "") return { code: 400, message: "proxyID=<pod>.<namespace> is missing" };
  const connection = findProxy(state.connections, wanted);
  if (connection === undefined) return { code: 404, message: `proxy ${wanted} is not connected to this instance` };
  return { json: await answer(connection) };
}

/** For one proxy, or for all when the query names none. */
export async function forProxies(
  state: DebugState,
  query: URLSearchParams,
  answer: (connection: ProxyConnection) => unknown,
): Promise<DebugAnswer> {
  if (query.has("proxyID")) return forProxy(state, query, (connection) => [answer(connection)]);
  return { json: [...state.connections.values()].map(answer) };
}

/** The newest stream of a proxy, by `<pod>.<namespace>`, node id or connection id. */
export function findProxy(connections: ConnectionTable, wanted: string): ProxyConnection | undefined {
  return [...connections.values()].findLast(({ info }) =>
    [`${info.node.name}.${info.node.namespace}`, info.node.id, info.id].includes(wanted),
  );
}
