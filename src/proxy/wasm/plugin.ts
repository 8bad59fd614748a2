// One plugin in use. It is there before its code is: streams that come meanwhile wait. When its VM fails, its policy
// decides: closed, open, or a new VM for the next stream.
import type { Logger } from "#base/log/log.ts";
import type { Counter, Stats } from "../stats/stats.ts";
import type { EventLoop } from "../transport/event-loop.ts";
import type { RootContext } from "./contexts.ts";
import type { WasmPluginConfig } from "./plugin-config.ts";
import type { WasmVm } from "./vm.ts";

export interface PluginOptions {
  readonly config: WasmPluginConfig;
  readonly loop: EventLoop;
  readonly log: Logger;
  readonly stats: Stats;
  /** Makes a root context in a VM that is fit for it. The VM may have failed at it. */
  readonly makeRoot: (plugin: WasmPlugin) => RootContext;
}

export class WasmPlugin {
  readonly config: WasmPluginConfig;
  /** Why it can't be used; null while it can, or while it loads. */
  failure: string | null = null;
  readonly #options: PluginOptions;
  readonly #reloads: Counter;
  readonly #failedReloads: Counter;
  readonly #backedOff: Counter;
  #root: RootContext | null = null;
  #waiting: (() => void)[] | null = [];
  #mayReloadAt = 0;
  #isClosed = false;

  constructor(options: PluginOptions) {
    this.#options = options;
    this.config = options.config;
    const prefix = `wasm.${this.config.name}.`;
    this.#reloads = options.stats.counter(`${prefix}vm_reload_success`);
    this.#failedReloads = options.stats.counter(`${prefix}vm_reload_failure`);
    this.#backedOff = options.stats.counter(`${prefix}vm_reload_backoff`);
  }

  get isLoading(): boolean {
    return this.#waiting !== null;
  }

  get vm(): WasmVm | null {
    return this.#root?.vm ?? null;
  }

  /** Calls back once the plugin has loaded or failed to. The returned function takes that back. */
  whenLoaded(callback: () => void): () => void {
    this.#waiting?.push(callback);
    return () => {
      this.#waiting = this.#waiting?.filter((other) => other !== callback) ?? null;
    };
  }

  /** Its code is there, or `failure` says why not. */
  onLoaded(failure: string | null): void {
    if (this.#isClosed) return;
    if (failure === null) this.#start();
    else this.#fail(failure);
    const waiting = this.#waiting ?? [];
    this.#waiting = null;
    for (const callback of waiting) callback();
  }

  #start(): boolean {
    const root = this.#options.makeRoot(this);
    this.#root = root;
    const { vm } = root;
    if (vm.failure !== null) {
      this.#fail(vm.failure);
      return false;
    }
    this.failure = null;
    vm.onFailure(() => {
      if (this.#root === root) this.#fail(vm.failure ?? "");
    });
    return true;
  }

  #fail(words: string): void {
    this.failure = words;
    if (!this.#isClosed) this.#options.log.error(`the wasm plugin "${this.config.name}" can't be used: ${words}`);
  }

  /** The context in which a new stream may be made; null when the plugin can't be used now. */
  rootForStream(): RootContext | null {
    if (this.failure === null) return this.#root;
    return this.#mayReload() && this.#reload() ? this.#root : null;
  }

  #mayReload(): boolean {
    const { loop } = this.#options;
    // A module that can't be loaded, or that refuses its configuration, will do so again.
    if (this.config.failurePolicy !== "fail_reload" || this.#root?.vm.failedAtRuntime !== true) return false;
    if (loop.now >= this.#mayReloadAt) return true;
    this.#backedOff.add();
    return false;
  }

  #reload(): boolean {
    const { loop, log } = this.#options;
    this.#mayReloadAt = loop.now + this.config.reloadMs * (1 + loop.random() / 2);
    if (!this.#start()) {
      this.#failedReloads.add();
      return false;
    }
    this.#reloads.add();
    log.info(`the wasm plugin "${this.config.name}" has a new VM`);
    return true;
  }

  /** Nobody will use it any more. */
  close(onEnd: (vm: WasmVm) => void): void {
    this.#isClosed = true;
    const root = this.#root;
    if (root !== null) root.close(() => onEnd(root.vm));
  }
}
