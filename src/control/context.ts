// What the parts of one control plane share while they start.
import type { Lifecycle } from "#base/lifecycle.ts";
import type { LogRegistry } from "#base/log/log.ts";
import type { MetricRegistry } from "#base/metrics/registry.ts";
import type { Clock } from "#base/time/clock.ts";
import type { InjectionContext } from "#mesh/inject/injection.ts";
import type { BoundAddress } from "./bind.ts";
import type { TokenVerifier } from "./ca/token-review.ts";
import type { ControlPlaneOptions, ControlPlanePorts } from "./options.ts";
import type { PushMetrics } from "./push/push-metrics.ts";
import type { ConnectionTable } from "./xds/connection-table.ts";

export interface ControlPlaneContext {
  readonly options: ControlPlaneOptions;
  readonly lifecycle: Lifecycle;
  readonly log: LogRegistry;
  readonly metrics: MetricRegistry;
  readonly pushMetrics: PushMetrics;
  readonly clock: Clock;
  readonly host: string;
  readonly namespace: string;
  readonly revision: string;
  /** This replica among several. */
  readonly replica: string;
  readonly clusterId?: string;
  readonly tokens: TokenVerifier | undefined;
  readonly connections: ConnectionTable;
  /** What the injector works with, once it runs. */
  readonly injection: { current?: () => InjectionContext };
  readonly addresses: { -readonly [P in keyof ControlPlanePorts]?: BoundAddress };
}
