// What a proxy is started with, and what one that runs answers.
import type { Running } from "#base/lifecycle.ts";
import type { LogRegistry } from "#base/log/log.ts";
import type { ProcessCells } from "#base/threads/process-cells.ts";
import type { Clock } from "#base/time/clock.ts";
import type { SecretStore } from "#wire/tls/secrets.ts";
import type { Address } from "./admin/admin-server.ts";
import type { ProxyNode } from "./admin/proxy-state.ts";
import type { LocalNode } from "./config/local-node.ts";
import type { OverloadConfig } from "./config/overload.ts";
import type { RuntimeChanges } from "./config/runtime.ts";
import type { ProxyView } from "./decide/view.ts";
import type { DrainScope, ListenerManager } from "./listener/listener-manager.ts";
import type { Readings } from "./overload/readings.ts";
import type { EjectedEndpoint } from "./upstream/cluster.ts";
import type { WorkerReport } from "./worker/report.ts";
import type { AdsOptions, AdsStatus, WorkloadHealth } from "./xds/ads-client.ts";
import type { Configuration } from "./xds/configuration.ts";
import type { ConnectionLimits } from "./xds/connection-limits.ts";
import type { OwnTracer } from "./xds/own-tracer.ts";
import type { RuntimeLayers } from "./xds/runtime-layers.ts";

export interface ProxyOptions {
  /** As the xDS node: id, cluster, locality and Istio's metadata keys. */
  readonly node: ProxyNode;
  readonly role: "sidecar" | "router";
  /** Shown by the admin API, as `1.31.0`. */
  readonly version: string;
  /** Exactly one of the three. */
  readonly ads?: Pick<AdsOptions, "address" | "tls" | "token" | "otherTypes" | "preparations">;
  readonly bootstrap?: { readonly path: string };
  /** Gets the configuration and fills it: how a worker thread is told. */
  readonly feed?: (configuration: Configuration) => void;
  /** Where they come from no bootstrap; our defaults unless given. */
  readonly overload?: OverloadConfig;
  readonly connectionLimits?: ConnectionLimits;
  readonly runtime?: RuntimeLayers;
  readonly tracer?: OwnTracer | null;
  readonly local?: LocalNode | null;
  /** For a thread: what all of them count together, and how the others hear that it ejected an endpoint. */
  readonly cells?: ProcessCells;
  readonly onEjected?: (ejected: EjectedEndpoint) => void;
  /** Event loops that serve traffic; each one above the first is a worker thread. */
  readonly concurrency?: number;
  /** Other threads listen on the same ports. */
  readonly sharesPorts?: boolean;
  /** For a thread: event loops of the whole proxy. */
  readonly loops?: number;
  /** Filled by the agent's identity part, or from the bootstrap. */
  readonly secrets: SecretStore;
  readonly log: LogRegistry;
  /** Each can be left out; port 0 takes a free one. */
  readonly servers: {
    readonly admin?: Address;
    readonly prometheus?: Address;
    readonly readiness?: Address;
  };
  /** Adds the cause of local replies to their headers and body; for development. */
  readonly explainToClients?: boolean;
  /** `/quitquitquit`: ends the process. */
  readonly quit?: () => void;
  readonly clock?: Clock;
  /** From a graceful `/drain_listeners` to the end of accepting; 600 s unless given. */
  readonly drainTimeMs?: number;
  /** How a graceful drain asks clients to leave; Istio starts Envoy with "immediate". */
  readonly drainStrategy?: "immediate" | "gradual";
  /** How long first endpoints and routes are waited for; 15 s unless given. */
  readonly initialFetchTimeoutMs?: number;
  /** From which Wasm plugins may be given variables. */
  readonly hostEnvironment?: Readonly<Record<string, string | undefined>>;
  /** For tests: instead of asking the process. */
  readonly readings?: Partial<Readings>;
  /** For tests: instead of asking the kernel. */
  readonly originalDestination?: NonNullable<ConstructorParameters<typeof ListenerManager>[0]["originalDestination"]>;
}

export interface RunningProxy extends Running {
  /** True from the first complete configuration until draining begins. */
  ready(): boolean;
  /** What runs now, for the evaluator. */
  view(): ProxyView;
  /** Null without a control plane. */
  adsStatus(): AdsStatus | null;
  /** Tells the control plane how the workload is. */
  reportHealth(health: WorkloadHealth): void;
  /** The whole `/stats/prometheus`. */
  metrics(): Promise<string>;
  /** What this event loop has counted, without its workers. */
  report(): WorkerReport;
  connectionCount(): number;
  /** Asks clients to leave; goes on accepting. Readiness ends. */
  startDraining(scope?: DrainScope): void;
  /** Closes the sockets that accept; open connections go on. */
  stopAccepting(scope: DrainScope): void;
  /** While it fails, clients are asked to leave and the proxy is not ready. */
  failHealthChecks(isFailed: boolean): void;
  /** As `/runtime_modify`. */
  modifyRuntime(changes: RuntimeChanges): void;
  /** Another thread ejected an endpoint. */
  adoptEjection(ejected: EjectedEndpoint): void;
  /** Stops accepting, waits for connections to end, and cuts what is left at the deadline: their number. */
  drain(deadlineMs: number): Promise<number>;
  /** The port that a listener is bound to. */
  listenerPort(name: string): number | undefined;
  readonly adminPort: number | undefined;
  readonly prometheusPort: number | undefined;
  readonly readinessPort: number | undefined;
}
