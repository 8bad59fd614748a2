// What the HTTP part needs from the rest of the proxy, given once at start.
import type { Logger } from "#base/log/log.ts";
import type { ProcessCells } from "#base/threads/process-cells.ts";
import type { ExtensionSource } from "../config/extension.ts";
import type { RouteConfig } from "../config/http.ts";
import type { Runtime } from "../config/runtime.ts";
import type { TracerConfig } from "../config/tracing.ts";
import type { LoadShedding } from "../overload/load-shedding.ts";
import type { CodecCounters } from "../stats/codec-stats.ts";
import type { Stats } from "../stats/stats.ts";
import type { ConnectionInfo } from "../transport/connection-info.ts";
import type { EventLoop } from "../transport/event-loop.ts";
import type { ClusterManager } from "../upstream/cluster-manager.ts";
import type { WasmHost } from "../wasm/wasm-host.ts";
import type { HttpFilterType } from "./filter.ts";
import type { LogServices } from "./log-services.ts";
import type { TrafficObserver } from "./observer.ts";
import type { Tracers } from "./tracing/tracers.ts";

/** Route configurations by name, as RDS delivered them. */
export interface RouteSource {
  get(name: string): RouteConfig | undefined;
}

/** Our own workload, as the peer metadata headers carry it. */
export interface OwnPeerMetadata {
  readonly id: string;
  /** Base64 of a serialized protobuf Struct. */
  readonly value: string;
}

export interface HttpEnvironment {
  readonly loop: EventLoop;
  readonly runtime: Runtime;
  /** What limits of the whole process count; null with one thread. */
  readonly cells: ProcessCells | null;
  readonly clusters: ClusterManager;
  readonly routes: RouteSource;
  /** What ECDS delivered. */
  readonly extensions: ExtensionSource;
  readonly log: Logger;
  readonly stats: Stats;
  /** Of all connections with clients. */
  readonly codecs: CodecCounters;
  readonly observer: TrafficObserver;
  readonly wasm: WasmHost;
  /** The filters that configurations may name. */
  readonly filterTypes: readonly HttpFilterType[];
  /** Writes one access log line to the file or `/dev/stdout`. */
  readonly writeAccessLog: (path: string, line: string) => void;
  readonly ownPeerMetadata: OwnPeerMetadata | null;
  /** What the bootstrap calls this proxy. */
  readonly node: { readonly id: string; readonly cluster: string; readonly zone?: string };
  readonly tracers: Tracers;
  /** For listeners whose tracing names no tracer. */
  readonly ownTracer: TracerConfig | null;
  readonly logServices: LogServices;
  /** Variables of the process that formats and tags may read. */
  readonly hostEnvironment: Readonly<Record<string, string | undefined>>;
  /** Adds the cause of local replies to their headers and body. For development: it shows configuration to clients. */
  readonly explainToClients: boolean;
  /** What is not done while the process has too much to do. */
  readonly shedding: LoadShedding;
  readonly isDraining: (connection: ConnectionInfo) => boolean;
  /** Whether a client is asked to close its connection: the proxy drains, or has too much to do. */
  readonly asksToClose: (connection: ConnectionInfo) => boolean;
}
