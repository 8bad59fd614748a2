// What the main thread and its workers say to each other. Everything is plain data: it crosses threads as a copy.
import type { ProcessCellsMemory } from "#base/threads/process-cells.ts";
import type { TlsCertificate } from "#wire/tls/secrets.ts";
import type { DeltaUpdate } from "#wire/xds/delta-state.ts";
import type { ProxyNode } from "../admin/proxy-state.ts";
import type { LocalNode } from "../config/local-node.ts";
import type { OverloadConfig } from "../config/overload.ts";
import type { RuntimeChanges } from "../config/runtime.ts";
import type { DrainScope } from "../listener/listener-manager.ts";
import type { EjectedEndpoint } from "../upstream/cluster.ts";
import type { ConnectionLimits } from "../xds/connection-limits.ts";
import type { OwnTracer } from "../xds/own-tracer.ts";
import type { RuntimeLayers } from "../xds/runtime-layers.ts";
import type { WorkerReport } from "./report.ts";

/** What a worker is started with. */
export interface WorkerSettings {
  readonly index: number;
  readonly node: ProxyNode;
  readonly role: "sidecar" | "router";
  readonly version: string;
  readonly overload: OverloadConfig;
  readonly connectionLimits: ConnectionLimits;
  readonly runtime: RuntimeLayers;
  readonly tracer: OwnTracer | null;
  readonly local: LocalNode | null;
  /** What all threads count together. */
  readonly cells: ProcessCellsMemory;
  /** Event loops of the whole proxy. */
  readonly loops: number;
  readonly explainToClients: boolean;
  readonly hostEnvironment: Readonly<Record<string, string | undefined>>;
  readonly logLevel: string;
  readonly logAsJson: boolean;
}

export type ToWorker =
  | { readonly type: "update"; readonly update: DeltaUpdate }
  | { readonly type: "certificate"; readonly name: string; readonly certificate: TlsCertificate }
  | { readonly type: "roots"; readonly name: string; readonly pem: string; readonly revocationList?: string }
  | { readonly type: "revocations"; readonly name: string; readonly pem: string }
  | { readonly type: "noSecret"; readonly name: string }
  | { readonly type: "report"; readonly id: number }
  | { readonly type: "startDraining"; readonly scope: DrainScope }
  | { readonly type: "stopAccepting"; readonly scope: DrainScope }
  | { readonly type: "failHealthChecks"; readonly isFailed: boolean }
  | { readonly type: "runtime"; readonly changes: RuntimeChanges }
  /** Another thread ejected an endpoint. */
  | { readonly type: "ejection"; readonly ejected: EjectedEndpoint }
  | { readonly type: "drain"; readonly id: number; readonly deadlineMs: number }
  | { readonly type: "stop" };

export type FromWorker =
  /** Whether the first configuration runs. */
  | { readonly type: "ready" }
  | { readonly type: "report"; readonly id: number; readonly report: WorkerReport }
  | { readonly type: "ejection"; readonly ejected: EjectedEndpoint }
  /** `cut`: connections that had to be closed. */
  | { readonly type: "drained"; readonly id: number; readonly cut: number };
