// Envoy's overload manager for one event loop: reads the monitors in rounds, and puts what the actions say into the
// object that the data path reads. Unlike Envoy's, a threshold that was reached stays so until the pressure is a
// twentieth below it, so that it does not flicker.

import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";
import type { ActionConfig, OverloadConfig, TriggerConfig } from "../config/overload.ts";
import type { Gauge, Stats } from "../stats/stats.ts";
import type { LoadShedding } from "./load-shedding.ts";
import { createMonitor, type Monitor, type Pressure } from "./monitors.ts";
import type { Readings } from "./readings.ts";

export interface OverloadManagerOptions {
  readonly config: OverloadConfig;
  readonly shedding: LoadShedding;
  readonly readings: Readings;
  /** Event loops of the proxy. */
  readonly loops: number;
  readonly clock: Clock;
  readonly stats: Stats;
  readonly log: Logger;
  /** Collects garbage and gives memory back. */
  readonly shrinkHeap: () => void;
}

/** As Envoy does while the action is active. */
const shrinkEveryMs = 10_000;
/** Below this share of its threshold a trigger that fired rests again. */
const restShare = 0.95;

export class OverloadManager implements Running {
  readonly #options: OverloadManagerOptions;
  readonly #monitors: readonly { readonly monitor: Monitor; readonly gauge: Gauge; readonly failures: Gauge }[];
  readonly #actions: readonly Action[];
  readonly #pressures = new Map<string, Pressure>();
  #cancel: () => void = () => {};
  #shrunkMs = Number.NEGATIVE_INFINITY;

  constructor(options: OverloadManagerOptions) {
    this.#options = options;
    const { config, stats, shedding, loops } = options;
    this.#monitors = config.monitors.map((it) => ({
      monitor: createMonitor(it, options.readings, loops),
      gauge: stats.gauge(`overload.${it.name}.pressure`),
      failures: stats.gauge(`overload.${it.name}.failed_updates`),
    }));
    this.#actions = config.actions.map((it) => new Action(it, stats));
    shedding.connectionIdle = config.connectionIdle;
    shedding.streamIdle = config.streamIdle;
    this.#schedule();
  }

  #schedule(): void {
    const { clock, config, readings } = this.#options;
    const dueMs = readings.monotonicMs() + config.refreshMs;
    this.#cancel = clock.after(config.refreshMs, () => {
      this.#refresh(Math.max(0, readings.monotonicMs() - dueMs));
      this.#schedule();
    });
  }

  #refresh(latenessMs: number): void {
    for (const { monitor, gauge, failures } of this.#monitors) {
      const pressure = monitor.read(latenessMs);
      if (pressure === null) {
        failures.add(1);
      } else {
        this.#pressures.set(monitor.name, pressure);
        gauge.set(Math.round(pressure.value * 100));
      }
    }
    for (const action of this.#actions) this.#apply(action);
    const { shedding } = this.#options;
    shedding.isActive =
      shedding.stopRequests > 0 ||
      shedding.disableKeepAlive > 0 ||
      shedding.rejectConnections > 0 ||
      shedding.reduceTimeouts > 0;
  }

  #apply(action: Action): void {
    const { shedding, shrinkHeap, readings } = this.#options;
    const before = action.value;
    action.update(this.#pressures);
    const { value } = action;
    if (before < 1 !== value < 1) this.#tell(action);
    switch (action.config.name) {
      case "stop_accepting_requests":
        shedding.stopRequests = value;
        if (value > 0) shedding.why = action.why;
        break;
      case "disable_http_keepalive":
        shedding.disableKeepAlive = value;
        break;
      case "reject_incoming_connections":
        shedding.rejectConnections = value;
        break;
      case "reduce_timeouts":
        shedding.reduceTimeouts = value;
        break;
      case "shrink_heap":
        if (value >= 1 && readings.monotonicMs() - this.#shrunkMs >= shrinkEveryMs) {
          this.#shrunkMs = readings.monotonicMs();
          shrinkHeap();
        }
    }
  }

  #tell(action: Action): void {
    const { log, shedding, readings } = this.#options;
    const name = `envoy.overload_actions.${action.config.name}`;
    const nowMs = readings.monotonicMs();
    if (action.value >= 1) {
      action.sinceMs = nowMs;
      action.shedBefore = shedding.shedRequests;
      log.warn(`overload: ${name} begins: ${action.why}`);
      return;
    }
    const seconds = ((nowMs - action.sinceMs) / 1000).toFixed(1);
    const shed = shedding.shedRequests - action.shedBefore;
    const requests =
      action.config.name === "stop_accepting_requests" ? `, ${shed} requests were answered with 503` : "";
    log.warn(`overload: ${name} ends after ${seconds} s${requests}: ${action.why}`);
  }

  stop(): Promise<void> {
    this.#cancel();
    return Promise.resolve();
  }
}

class Action {
  readonly config: ActionConfig;
  /** 0 to 1. */
  value = 0;
  why = "";
  sinceMs = 0;
  shedBefore = 0;
  readonly #fired = new Set<TriggerConfig>();
  readonly #active: Gauge;
  readonly #scale: Gauge;

  constructor(config: ActionConfig, stats: Stats) {
    this.config = config;
    this.#active = stats.gauge(`overload.envoy.overload_actions.${config.name}.active`);
    this.#scale = stats.gauge(`overload.envoy.overload_actions.${config.name}.scale_percent`);
  }

  /** The strongest of its triggers decides. */
  update(pressures: ReadonlyMap<string, Pressure>): void {
    let most = -1;
    for (const trigger of this.config.triggers) {
      const pressure = pressures.get(trigger.monitor);
      if (pressure === undefined) continue;
      const value = this.#valueOf(trigger, pressure.value);
      if (value < most || (value === most && value === 0)) continue;
      most = value;
      this.why = pressure.words;
    }
    this.value = Math.max(0, most);
    this.#active.set(this.value >= 1 ? 1 : 0);
    this.#scale.set(Math.round(this.value * 100));
  }

  #valueOf(trigger: TriggerConfig, pressure: number): number {
    const { scaling, saturation } = trigger;
    if (scaling < saturation) return Math.min(1, Math.max(0, (pressure - scaling) / (saturation - scaling)));
    const isOn = pressure >= (this.#fired.has(trigger) ? saturation * restShare : saturation);
    if (isOn) this.#fired.add(trigger);
    else this.#fired.delete(trigger);
    return isOn ? 1 : 0;
  }
}
