// What the admin API shows of a running proxy. `start.ts` fills it; nothing here is Envoy's or Istio's format yet.
import type { JsonObject } from "@bufbuild/protobuf";
import type { LogRegistry } from "#base/log/log.ts";
import type { SecretStore } from "#wire/tls/secrets.ts";
import type { Runtime, RuntimeChanges } from "../config/runtime.ts";
import type { ListenerDescription } from "../listener/listener-manager.ts";
import type { InboundCaller } from "../stats/inbound-traffic.ts";
import type { StatValue } from "../stats/stats.ts";
import type { ClusterDescription } from "../upstream/cluster-description.ts";
import type { AdsStatus } from "../xds/ads-client.ts";
import type { Configuration } from "../xds/configuration.ts";
import type { CounterReset } from "./counter-reset.ts";

/** `/drain_listeners`. */
export interface ListenerDrain {
  readonly inboundOnly: boolean;
  /** Clients are asked to leave during the drain time, and only then the sockets close. */
  readonly isGraceful: boolean;
  /** They do not close then either. */
  readonly skipsExit: boolean;
}

/** Envoy's server states. */
export type ServerState = "LIVE" | "DRAINING" | "INITIALIZING";

export interface ProxyNode {
  readonly id: string;
  readonly cluster: string;
  readonly locality: { readonly region: string; readonly zone: string; readonly subZone: string };
  readonly metadata: JsonObject;
}

export interface ProxyState {
  readonly node: ProxyNode;
  readonly version: string;
  readonly startedAtMs: number;
  readonly now: () => number;
  readonly configuration: Configuration;
  readonly secrets: SecretStore;
  readonly stats: () => readonly StatValue[];
  /** Event loops that serve traffic. */
  readonly concurrency: number;
  /** Asks the worker threads what they have counted; the functions below answer as of then. */
  readonly refresh: () => Promise<void>;
  readonly log: LogRegistry;
  /** The bootstrap as JSON with the names of the proto file; null for a proxy that was started without one. */
  readonly bootstrap: JsonObject | null;
  readonly serverState: () => ServerState;
  readonly clusters: () => readonly ClusterDescription[];
  readonly listeners: () => readonly ListenerDescription[];
  readonly ads: () => AdsStatus | null;
  /** Who called this workload since the start, and what for. */
  readonly callers: () => readonly InboundCaller[];
  /** The istio_* families, in Prometheus' text format. */
  readonly trafficMetrics: () => string;
  /** Begins to drain. */
  readonly drainListeners: (how: ListenerDrain) => void;
  /** While it fails, clients are asked to leave and the proxy is not ready. */
  readonly failHealthChecks: (isFailed: boolean) => void;
  readonly runtime: Runtime;
  /** Sets values of the admin layer; empty text takes one away. */
  readonly modifyRuntime: (changes: RuntimeChanges) => void;
  readonly counterReset: CounterReset;
  /** What Prometheus is shown beside the minimal list; null: nothing. */
  readonly includesStat: ((name: string) => boolean) | null;
  /** Stops the process that the proxy runs in. */
  readonly quit: () => void;
}
