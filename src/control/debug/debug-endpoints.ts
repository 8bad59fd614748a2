// The debug endpoints by Istio's names, as JSON for the CLI and for people. They only read.

import type { JsonValue } from "@bufbuild/protobuf";
import type { Issue } from "#base/issue.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import type { Pusher } from "../push/pusher.ts";
import { objectStatuses } from "../status/object-status.ts";
import { proxyStatus } from "../status/sync-status.ts";
import type { ProxyConnection } from "../xds/connection.ts";
import type { ConnectionTable } from "../xds/connection-table.ts";
import { loadResourceRenderer } from "./resource-json.ts";

export interface DebugState {
  readonly connections: ConnectionTable;
  readonly pusher: Pusher;
  /** The newest; what was pushed may be older. */
  readonly snapshot: () => MeshSnapshot | undefined;
  /** Of sources: what could not even be read. */
  readonly sourceIssues: () => readonly Issue[];
  readonly now: () => number;
}

/** An answer, or a status code with a sentence. */
export type DebugAnswer = { readonly json: unknown } | { readonly code: number; readonly message: string };

interface Endpoint {
  readonly help: string;
  answer(state: DebugState, query: URLSearchParams): Promise<DebugAnswer> | DebugAnswer;
}

const endpoints: Readonly<Record<string, Endpoint>> = {
  syncz: {
    help: "Sync state of every connected proxy, per resource type",
    answer: (state) => ({ json: [...state.connections.values()].map((entry) => proxyStatus(entry, state.now())) }),
  },
  connections: {
    help: "Connected proxies",
    answer: (state) => ({
      json: [...state.connections.values()].map(({ info, identity }) => ({
        connectionId: info.id,
        nodeId: info.node.id,
        peer: info.peer,
        identity,
        connectedAt: new Date(info.connectedAtMs).toISOString(),
      })),
    }),
  },
  config_dump: {
    help: "Everything that a proxy was given; ?proxyID=<pod>.<namespace>[&types=cds,lds,...]",
    answer: (state, query) => forProxy(state, query, (connection) => dump(connection, query)),
  },
  edsz: {
    help: "Endpoints that a proxy was given; ?proxyID=<pod>.<namespace>",
    answer: (state, query) => forProxy(state, query, (connection) => renderType(connection, typeUrl.endpoint)),
  },
  statusz: {
    help: "The one state of every object of Istio's kinds, and at how many proxies of this instance it is in force",
    answer: (state) =>
      withSnapshot(state, (snapshot) =>
        objectStatuses(snapshot, state.connections.values()).map(({ origin, state: force, progress, reasons }) => ({
          ...origin,
          state: force,
          ...progress,
          reasons,
        })),
      ),
  },
  configz: {
    help: "Every object of Istio's kinds: its state, why, and its issues",
    answer: (state) =>
      withSnapshot(state, (snapshot) => ({
        version: snapshot.version,
        issues: [...state.sourceIssues(), ...snapshot.issues],
        resources: objectStatuses(snapshot, state.connections.values()),
      })),
  },
  registryz: {
    help: "Services",
    answer: (state) => withSnapshot(state, (snapshot) => snapshot.services),
  },
  endpointz: {
    help: "Endpoints of every service port",
    answer: (state) => withSnapshot(state, endpointsOf),
  },
  mesh: {
    help: "MeshConfig in force",
    answer: (state) => withSnapshot(state, (snapshot) => snapshot.meshConfig),
  },
  push_status: {
    help: "The last snapshot, and how many proxies have it",
    answer: (state) => ({ json: pushStatus(state) }),
  },
};
const aliases: Readonly<Record<string, string>> = { endpointShardz: "endpointz", list: "" };

/** Answers `/debug/<name>`; the empty name lists all. */
export async function answerDebug(name: string, query: URLSearchParams, state: DebugState): Promise<DebugAnswer> {
  const key = aliases[name] ?? name;
  if (key === "") {
    const list = Object.entries(endpoints).map(([path, { help }]) => ({ path: `/debug/${path}`, help }));
    return { json: list };
  }
  const endpoint = Object.hasOwn(endpoints, key) ? endpoints[key] : undefined;
  return endpoint?.answer(state, query) ?? { code: 404, message: `there is no /debug/${key}; see /debug` };
}

function withSnapshot(state: DebugState, answer: (snapshot: MeshSnapshot) => unknown): DebugAnswer {
  const snapshot = state.snapshot();
  return snapshot === undefined ? { code: 503, message: "no snapshot yet" } : { json: answer(snapshot) };
}

async function forProxy(
  state: DebugState,
  query: URLSearchParams,
  answer: (connection: ProxyConnection) => Promise<JsonValue>,
): Promise<DebugAnswer> {
  const wanted = query.get("proxyID");
  if (wanted === null || wanted === "") return { code: 400, message: "proxyID=<pod>.<namespace> is missing" };
  const connection = findProxy(state.connections, wanted);
  if (connection === undefined) return { code: 404, message: `proxy ${wanted} is not connected to this instance` };
  return { json: await answer(connection) };
}

/** The newest stream of a proxy, by `<pod>.<namespace>`, node id or connection id. */
function findProxy(connections: ConnectionTable, wanted: string): ProxyConnection | undefined {
  return [...connections.values()].findLast(({ info }) =>
    [`${info.node.name}.${info.node.namespace}`, info.node.id, info.id].includes(wanted),
  );
}

const dumpNames: Readonly<Record<string, string>> = {
  cds: typeUrl.cluster,
  eds: typeUrl.endpoint,
  lds: typeUrl.listener,
  rds: typeUrl.route,
};

async function dump(connection: ProxyConnection, query: URLSearchParams): Promise<JsonValue> {
  const types = query.get("types")?.split(",") ?? Object.keys(dumpNames);
  const result: Record<string, JsonValue> = {
    proxy: `${connection.node.name}.${connection.node.namespace}`,
    nodeId: connection.node.id,
    snapshotVersion: connection.session.resources.snapshotVersion,
  };
  for (const type of types) {
    const url = dumpNames[type];
    if (url !== undefined) result[type] = await renderType(connection, url);
  }
  return result;
}

async function renderType(connection: ProxyConnection, url: string): Promise<JsonValue> {
  const render = await loadResourceRenderer();
  const resources = connection.session.resources.byType.get(url)?.values() ?? [];
  const state = connection.types.get(url);
  return [...resources].map((resource) => ({
    name: resource.name,
    version: resource.version,
    /** What the proxy was last sent; the same as version when it is up to date. */
    sentVersion: state?.sent.get(resource.name) ?? "",
    resource: render(resource),
  }));
}

function endpointsOf(snapshot: MeshSnapshot): unknown {
  return snapshot.services.map((service) => ({
    hostname: service.hostname,
    namespace: service.namespace,
    ports: service.ports.map((port) => ({
      port: port.number,
      name: port.name,
      endpoints: snapshot.endpoints(service, port.number),
    })),
  }));
}

function pushStatus({ connections, pusher }: DebugState): unknown {
  const version = pusher.snapshot?.version ?? "";
  const all = [...connections.values()];
  return {
    snapshotVersion: version,
    proxies: all.length,
    withErrors: all.filter((entry) => [...entry.types.values()].some((type) => type.rejected.size > 0)).length,
    waiting: all.filter((entry) => [...entry.types.values()].some((type) => type.outstanding !== undefined)).length,
    changes: pusher.snapshot?.changes ?? [],
  };
}
