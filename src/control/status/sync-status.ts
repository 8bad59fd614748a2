// How far each connected proxy is: per resource type SYNCED, STALE, NOT SENT or ERROR, as `proxy-status` shows it.
import type { ProxyConnection } from "../xds/connection.ts";
import { shortTypeNames } from "../xds/connection.ts";
import { countSent, type TypeState } from "../xds/type-state.ts";

const SyncState = {
  /** The proxy accepted the last thing it was sent, and there is nothing newer. */
  Synced: "SYNCED",
  /** Sent and not answered, or newer things wait for the answer. */
  Stale: "STALE",
  /** The proxy asked and there was nothing to send, or it never asked. */
  NotSent: "NOT SENT",
  /** The proxy rejected the last response and keeps what it had. */
  Error: "ERROR",
} as const;
type SyncState = (typeof SyncState)[keyof typeof SyncState];

interface TypeStatus {
  readonly state: SyncState;
  /** Resources that the proxy has by our knowledge. */
  readonly resources: number;
  readonly lastAckMs: number | undefined;
  readonly waitingMs: number | undefined;
  readonly error: string | undefined;
  readonly rejectedResources: readonly string[];
}

export interface ProxyStatus {
  /** `<pod>.<namespace>` */
  readonly proxy: string;
  readonly nodeId: string;
  readonly proxyType: string;
  readonly clusterId: string;
  readonly istioVersion: string;
  readonly connectionId: string;
  readonly protocol: string;
  readonly peer: string;
  readonly identity: string;
  readonly connectedAt: string;
  readonly snapshotVersion: string;
  /** By short name: cds, eds, lds, rds, ... */
  readonly types: Readonly<Record<string, TypeStatus>>;
}

const alwaysShown = ["cds", "lds", "eds", "rds"];

export function proxyStatus(connection: ProxyConnection, nowMs: number): ProxyStatus {
  const { info } = connection;
  const types: Record<string, TypeStatus> = {};
  for (const name of alwaysShown) types[name] = neverAsked;
  for (const [url, state] of connection.types) types[shortTypeNames[url] ?? url] = typeStatus(state, nowMs);
  return {
    proxy: `${info.node.name}.${info.node.namespace}`,
    nodeId: info.node.id,
    proxyType: info.node.type,
    clusterId: info.node.clusterId,
    istioVersion: info.node.istioVersion,
    connectionId: info.id,
    protocol: connection.protocol,
    peer: info.peer,
    identity: connection.identity,
    connectedAt: new Date(info.connectedAtMs).toISOString(),
    snapshotVersion: connection.session.resources.snapshotVersion,
    types,
  };
}

function typeStatus(state: TypeState, nowMs: number): TypeStatus {
  return {
    state: syncState(state),
    resources: countSent(state),
    lastAckMs: state.ackedAtMs === 0 ? undefined : state.ackedAtMs,
    waitingMs: state.outstanding === undefined ? undefined : nowMs - state.outstanding.sentAtMs,
    error: state.rejected.size === 0 ? undefined : messagesOf(state).join("; "),
    rejectedResources: [...state.rejected.keys()],
  };
}

function messagesOf(state: TypeState): string[] {
  return [...new Set([...state.rejected.values()].map(({ message }) => message))];
}

function syncState(state: TypeState): SyncState {
  if (state.rejected.size > 0) return SyncState.Error;
  if (!state.responded) return SyncState.NotSent;
  if (state.outstanding !== undefined || state.waiting) return SyncState.Stale;
  return countSent(state) === 0 ? SyncState.NotSent : SyncState.Synced;
}

const neverAsked: TypeStatus = {
  state: SyncState.NotSent,
  resources: 0,
  lastAckMs: undefined,
  waitingMs: undefined,
  error: undefined,
  rejectedResources: [],
};
