// All plugins of a proxy and the VMs that they run in. Filters with the same configuration share one plugin; plugins with
// the same VM id, code and VM configuration share one VM. Whoever takes a plugin gives it back.
import { createHash } from "node:crypto";
import { describeError } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger, LogLevel } from "#base/log/log.ts";
import type { Counter, Gauge, Stats } from "../stats/stats.ts";
import type { EventLoop } from "../transport/event-loop.ts";
import { CodeLoader, type LoadedCode } from "./code-loader.ts";
import { RootContext } from "./contexts.ts";
import { CustomMetrics } from "./custom-metrics.ts";
import type { GrpcCalls } from "./grpc-calls.ts";
import type { HttpCalls } from "./http-calls.ts";
import { type WasmLimits, wasmLimits } from "./limits.ts";
import { WasmPlugin } from "./plugin.ts";
import type { WasmPluginConfig, WasmVmConfig } from "./plugin-config.ts";
import type { PropertyValue } from "./properties.ts";
import { SharedData } from "./shared-data.ts";
import { SharedQueues } from "./shared-queues.ts";
import { type VmServices, WasmVm } from "./vm.ts";

export interface WasmHostOptions {
  readonly loop: EventLoop;
  readonly log: Logger;
  /** "info" unless given. */
  readonly logLevel?: () => LogLevel;
  readonly stats: Stats;
  readonly calls: HttpCalls;
  readonly grpc: GrpcCalls;
  /** The proxy's node. */
  readonly node?: PropertyValue;
  /** The proxy's own environment variables, from which plugins may be given some. */
  readonly hostEnvironment?: Readonly<Record<string, string | undefined>>;
  readonly limits?: Partial<WasmLimits>;
}

/** A plugin that somebody uses. */
export interface PluginUse {
  readonly plugin: WasmPlugin;
  /** Gives it back, once. */
  release(): void;
}

interface SharedPlugin {
  readonly key: string;
  readonly plugin: WasmPlugin;
  users: number;
}

export class WasmHost implements Running {
  readonly #options: WasmHostOptions;
  readonly #services: VmServices;
  readonly #loader: CodeLoader;
  readonly #plugins = new Map<string, SharedPlugin>();
  readonly #vms = new Map<string, WasmVm>();
  readonly #created: Counter;
  readonly #active: Gauge;

  constructor(options: WasmHostOptions) {
    this.#options = options;
    const { loop, log, logLevel = () => "info" as const, stats, calls, grpc, node = "" } = options;
    const limits = { ...wasmLimits, ...options.limits };
    this.#services = {
      loop,
      log,
      logLevel,
      limits,
      data: new SharedData(),
      queues: new SharedQueues((callback) => void loop.after(0, callback)),
      metrics: new CustomMetrics(stats, () => loop.now),
      calls,
      grpc,
      node,
    };
    this.#loader = new CodeLoader({ calls, clock: loop.clock, random: loop.random, stats, limits });
    this.#created = stats.counter("wasm.envoy.wasm.runtime.v8.created");
    this.#active = stats.gauge("wasm.envoy.wasm.runtime.v8.active");
  }

  /** Takes a plugin into use. */
  use(config: WasmPluginConfig): PluginUse {
    const key = pluginKey(config);
    let shared = this.#plugins.get(key);
    if (shared === undefined) {
      shared = { key, plugin: this.#load(config), users: 0 };
      this.#plugins.set(key, shared);
    }
    const mine = shared;
    mine.users++;
    let isReleased = false;
    return {
      plugin: mine.plugin,
      release: () => {
        if (isReleased) return;
        isReleased = true;
        if (--mine.users === 0) this.#close(mine);
      },
    };
  }

  #close({ key, plugin }: SharedPlugin): void {
    this.#plugins.delete(key);
    plugin.close((vm) => this.#closeIfUnused(vm));
  }

  #closeIfUnused(vm: WasmVm): void {
    for (const [key, other] of this.#vms) if (other === vm && vm.roots().length === 0) this.#forget(key, vm);
  }

  #forget(key: string, vm: WasmVm): void {
    if (this.#vms.get(key) !== vm) return;
    this.#vms.delete(key);
    this.#active.add(-1);
  }

  #load(config: WasmPluginConfig): WasmPlugin {
    const { loop, log, stats } = this.#options;
    let code: LoadedCode | null = null;
    const plugin = new WasmPlugin({
      config,
      loop,
      log,
      stats,
      makeRoot: () => this.#makeRoot(config, code!),
    });
    this.#loader.load(config.vm.code).then(
      (loaded) => {
        code = loaded;
        asEvent(loop, () => plugin.onLoaded(null));
      },
      (error: unknown) => asEvent(loop, () => plugin.onLoaded(describeError(error))),
    );
    return plugin;
  }

  #makeRoot(config: WasmPluginConfig, code: LoadedCode): RootContext {
    const { name, rootId, configuration } = config;
    const settings = { name, rootId, configuration };
    const key = vmKey(config.vm, code.sha256);
    let vm = this.#vms.get(key);
    if (vm !== undefined) {
      // A configuration that makes the module fail must not end the plugins that run in this VM: it is tried elsewhere.
      const trial = new RootContext(this.#newVm(config.vm, code), settings);
      const isAccepted = trial.vm.start() && trial.start();
      if (!isAccepted) return trial;
      trial.vm.failWith("it was made for a trial");
    } else {
      vm = this.#keepVm(key, this.#newVm(config.vm, code));
    }
    const root = new RootContext(vm, settings);
    if (vm.failure === null) root.start();
    return root;
  }

  #newVm(config: WasmVmConfig, code: LoadedCode): WasmVm {
    return new WasmVm({
      id: config.id,
      module: code.module,
      configuration: config.configuration,
      environment: this.#environment(config),
      allowedCapabilities: config.allowedCapabilities,
      services: this.#services,
    });
  }

  #keepVm(key: string, vm: WasmVm): WasmVm {
    this.#vms.set(key, vm);
    this.#created.add();
    this.#active.add(1);
    vm.onFailure(() => this.#forget(key, vm));
    vm.start();
    return vm;
  }

  #environment(config: WasmVmConfig): ReadonlyMap<string, string> {
    const environment = new Map(config.environment);
    for (const key of config.hostEnvironmentKeys) {
      const value = this.#options.hostEnvironment?.[key];
      if (value !== undefined) environment.set(key, value);
    }
    return environment;
  }

  /** Tells all modules to let go. */
  async stop(): Promise<void> {
    for (const shared of this.#plugins.values()) this.#close(shared);
    this.#vms.clear();
  }
}

/** Runs a callback of a promise as an event of the data path. */
function asEvent(loop: EventLoop, callback: () => void): void {
  loop.enter();
  try {
    callback();
  } catch (error) {
    loop.onBroken(error);
  } finally {
    loop.leave();
  }
}

function vmKey(config: WasmVmConfig, sha256: string): string {
  return JSON.stringify([
    config.id,
    sha256,
    config.configuration.toString("base64"),
    config.hostEnvironmentKeys,
    [...config.environment],
    config.allowedCapabilities === null ? null : [...config.allowedCapabilities],
  ]);
}

function pluginKey(config: WasmPluginConfig): string {
  const { code } = config.vm;
  const source = code.type === "inline" ? createHash("sha256").update(code.bytes).digest("hex") : code;
  return JSON.stringify([
    config.name,
    config.rootId,
    config.configuration.toString("base64"),
    config.failurePolicy,
    config.reloadMs,
    config.allowsHeadersStop,
    source,
    vmKey(config.vm, ""),
  ]);
}
