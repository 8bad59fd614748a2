// HOT: per callback. One WebAssembly instance and the way into it. Every call into the module goes through `call`: it says
// whose turn it is, limits how long it may last, ends the VM when the module traps, and afterwards carries out what the
// module asked for (to go on, to answer), because none of that may happen while the module is on the stack.
// A VM that has failed is never entered again.
import type { Logger, LogLevel } from "#base/log/log.ts";
import type { EventLoop } from "../transport/event-loop.ts";
import { type AbiVersion, abiMarkers, Status } from "./abi.ts";
import { watchTable } from "./binary/prepare-module.ts";
import { type Callbacks, findCallbacks, type WasmFunction } from "./callbacks.ts";
import type { RootContext, WasmContext } from "./contexts.ts";
import type { CustomMetrics } from "./custom-metrics.ts";
import { type EngineExports, type EngineImports, type EngineMemory, type EngineModule, engine } from "./engine.ts";
import type { GrpcCalls } from "./grpc-calls.ts";
import { hostFunctions } from "./host-functions/all.ts";
import type { HttpCalls } from "./http-calls.ts";
import type { WasmLimits } from "./limits.ts";
import { ModuleExit } from "./module-exit.ts";
import type { PropertyValue } from "./properties.ts";
import type { SharedData } from "./shared-data.ts";
import type { SharedQueues } from "./shared-queues.ts";
import { makeQuestion } from "./watch.ts";

/** What all VMs of a proxy share. */
export interface VmServices {
  readonly loop: EventLoop;
  readonly log: Logger;
  readonly logLevel: () => LogLevel;
  readonly limits: WasmLimits;
  readonly data: SharedData;
  readonly queues: SharedQueues;
  readonly metrics: CustomMetrics;
  readonly calls: HttpCalls;
  readonly grpc: GrpcCalls;
  /** The proxy's node, as a property. */
  readonly node: PropertyValue;
}

export interface VmOptions {
  readonly id: string;
  readonly module: EngineModule;
  readonly configuration: Buffer;
  readonly environment: ReadonlyMap<string, string>;
  /** Names of host functions and callbacks that the module may use; null for all. */
  readonly allowedCapabilities: ReadonlySet<string> | null;
  readonly services: VmServices;
}

/** `call` could not be made, because the module does not export the callback. */
export const ABSENT = -1;
/** The VM has failed, in this call or before. */
export const FAILED = -2;

export class WasmVm {
  readonly options: VmOptions;
  readonly services: VmServices;
  readonly contexts: Map<number, WasmContext> = new Map();
  /** Why the VM can't be used any more; null while it can. */
  failure: string | null = null;
  /** True when it had started before it failed: only then is a new try worth anything. */
  failedAtRuntime = false;
  abi: AbiVersion = "0.2.1";
  callbacks: Callbacks = findCallbacks({}, null);
  #memory: EngineMemory | null = null;
  #bytes: Buffer = Buffer.alloc(0);
  #allocate: WasmFunction | null = null;
  #current: WasmContext | null = null;
  #effective: WasmContext | null = null;
  #depth = 0;
  #hasStarted = false;
  #callStartedAt = -1;
  #maxCallMs: number;
  #tookTooLong = false;
  #afterCall: (() => void)[] = [];
  #lastContextId = 0;
  readonly #onFailure: (() => void)[] = [];

  constructor(options: VmOptions) {
    this.options = options;
    this.services = options.services;
    this.#maxCallMs = options.services.limits.maxStartMs;
  }

  /** Instantiates the module and runs its own initialization. False after a failure. */
  start(): boolean {
    try {
      const { module, allowedCapabilities } = this.options;
      const missing = missingImports(module, this);
      if (missing.length > 0) throw new Error(`it imports what this proxy does not have: ${missing.join(", ")}`);
      const instance = new engine.Instance(module, this.#imports(module));
      this.#bind(instance.exports, allowedCapabilities);
    } catch (error) {
      this.#fail(error);
      return false;
    }
    const { initialize, main, start } = this.callbacks;
    if (initialize !== null) {
      if (this.enter(initialize) === FAILED) return false;
      return main === null || this.enter(main) !== FAILED;
    }
    return start === null || this.enter(start) !== FAILED;
  }

  /** Starting and configuring a plugin may take its time; everything else has to be short. */
  setStarting(isStarting: boolean): void {
    const { maxStartMs, maxCallMs } = this.services.limits;
    this.#maxCallMs = isStarting ? maxStartMs : maxCallMs;
    // From here on a failure is one of running.
    if (!isStarting) this.#hasStarted = true;
  }

  #imports(module: EngineModule): EngineImports {
    const all = hostFunctions(this);
    const imports: Record<string, Record<string, unknown>> = {};
    for (const { module: namespace, name } of engine.Module.imports(module)) {
      const found = all.get(namespace)?.[name];
      if (found === undefined) continue;
      imports[namespace] ??= {};
      imports[namespace][name] = found;
    }
    return imports;
  }

  #bind(exports: EngineExports, allowed: ReadonlySet<string> | null): void {
    const marker = abiMarkers.find(([name]) => typeof exports[name] === "function");
    if (marker === undefined) throw new Error("it is no proxy-wasm module of ABI 0.1.0, 0.2.0 or 0.2.1");
    this.abi = marker[1];
    if (!(exports["memory"] instanceof engine.Memory)) throw new Error("it exports no memory");
    this.#memory = exports["memory"];
    const allocate = exports["proxy_on_memory_allocate"] ?? exports["malloc"];
    if (typeof allocate !== "function") {
      throw new Error("it exports neither proxy_on_memory_allocate nor malloc");
    }
    this.#allocate = allocate as WasmFunction;
    this.callbacks = findCallbacks(exports, allowed);
    const watch = exports[watchTable];
    if (watch instanceof engine.Table)
      watch.set(
        0,
        makeQuestion(() => this.#mustStop()),
      );
  }

  /** Asked by the module after every some hundred thousand steps. */
  #mustStop(): boolean {
    const now = performance.now();
    if (this.#callStartedAt < 0) this.#callStartedAt = now;
    this.#tookTooLong = now - this.#callStartedAt > this.#maxCallMs;
    return this.#tookTooLong;
  }

  /** The context for which host functions act: that of the call, or the one that the module chose. */
  get context(): WasmContext | null {
    return this.#effective;
  }

  /** Changes the context until the call ends. */
  chooseContext(id: number): boolean {
    const context = this.contexts.get(id);
    if (context === undefined) return false;
    this.#effective = context;
    return true;
  }

  nextContextId(): number {
    this.#lastContextId = this.#lastContextId >= 0xffffffff ? 1 : this.#lastContextId + 1;
    return this.contexts.has(this.#lastContextId) ? this.nextContextId() : this.#lastContextId;
  }

  /** Calls back for a context. Gives the result as an unsigned integer, 0 where there is none, ABSENT or FAILED. */
  call(callback: WasmFunction | null, context: WasmContext, a = 0, b = 0, c = 0, d = 0): number {
    if (callback === null) return ABSENT;
    const outer = this.#current;
    const outerEffective = this.#effective;
    this.#current = context;
    this.#effective = context;
    const result = this.enter(callback, context.id, a, b, c, d);
    this.#current = outer;
    this.#effective = outerEffective;
    return result;
  }

  /** Enters the module. What it asked for is done when the outermost call has ended. */
  enter(callback: WasmFunction, a = 0, b = 0, c = 0, d = 0, e = 0): number {
    if (this.failure !== null) return FAILED;
    if (this.#depth === 0) this.#callStartedAt = -1;
    this.#depth++;
    let result: number;
    try {
      result = (callback(a, b, c, d, e) ?? 0) >>> 0;
    } catch (error) {
      result = this.#isCleanExit(error) ? 0 : FAILED;
      if (result === FAILED) this.#fail(error);
    }
    if (--this.#depth === 0) this.#runAfterCall();
    return result;
  }

  /** A `main` that ends by exit(0) has done its work. */
  #isCleanExit(error: unknown): boolean {
    return error instanceof ModuleExit && error.code === 0 && !this.#hasStarted;
  }

  /** Does something once the module is not on the stack any more. */
  afterCall(action: () => void): void {
    if (this.#depth === 0) action();
    else this.#afterCall.push(action);
  }

  #runAfterCall(): void {
    while (this.#afterCall.length > 0) {
      const actions = this.#afterCall;
      this.#afterCall = [];
      for (const action of actions) {
        try {
          action();
        } catch (error) {
          this.services.loop.onBroken(error);
        }
      }
    }
  }

  #fail(error: unknown): void {
    this.failWith(this.#tookTooLong ? `a call lasted longer than ${this.#maxCallMs} ms` : describeTrap(error));
  }

  /** Ends the VM. Its streams learn of it when they call next; root contexts and their owners learn of it now. */
  failWith(words: string): void {
    if (this.failure !== null) return;
    this.failure = words;
    this.failedAtRuntime = this.#hasStarted;
    this.callbacks = findCallbacks({}, null);
    this.#memory = null;
    this.#bytes = Buffer.alloc(0);
    this.#allocate = null;
    for (const context of this.contexts.values()) context.onVmFailed();
    for (const listener of this.#onFailure) listener();
  }

  onFailure(listener: () => void): void {
    this.#onFailure.push(listener);
  }

  /** Root contexts of this VM. */
  roots(): RootContext[] {
    return [...this.contexts.values()].flatMap((context) => (context.root === context ? context.root : []));
  }

  /** The module's memory from `at` on; null when that is not all inside. Valid until the module runs again. */
  read(at: number, length: number): Buffer | null {
    const start = at >>> 0;
    const size = length >>> 0;
    const memory = this.#view();
    return start + size > memory.length ? null : memory.subarray(start, start + size);
  }

  /** The same as text, where each byte is a character. */
  latin1(at: number, length: number): string | null {
    return this.read(at, length)?.toString("latin1") ?? null;
  }

  utf8(at: number, length: number): string | null {
    return this.read(at, length)?.toString("utf8") ?? null;
  }

  writeU32(at: number, value: number): boolean {
    const place = this.read(at, 4);
    place?.writeUInt32LE(value >>> 0);
    return place !== null;
  }

  writeU64(at: number, value: bigint): boolean {
    const place = this.read(at, 8);
    place?.writeBigUInt64LE(BigInt.asUintN(64, value));
    return place !== null;
  }

  /** Hands bytes to the module in memory that it allocates for them, and writes their place and length. */
  give(bytes: Uint8Array, placeAt: number, lengthAt: number): Status {
    let place = 0;
    if (bytes.length > 0) {
      place = (this.#allocate?.(bytes.length) ?? 0) >>> 0;
      const target = place === 0 ? null : this.read(place, bytes.length);
      if (target === null) return Status.InvalidMemoryAccess;
      target.set(bytes);
    }
    return this.writeU32(placeAt, place) && this.writeU32(lengthAt, bytes.length)
      ? Status.Ok
      : Status.InvalidMemoryAccess;
  }

  #view(): Buffer {
    const memory = this.#memory;
    // Growing the memory gives it a new buffer and leaves the old one with a length of 0.
    if (memory !== null && this.#bytes.buffer !== memory.buffer) this.#bytes = Buffer.from(memory.buffer);
    return this.#bytes;
  }
}

function missingImports(module: EngineModule, vm: WasmVm): string[] {
  const known = hostFunctions(vm);
  return engine.Module.imports(module).flatMap(({ module: namespace, name, kind }) =>
    kind === "function" && known.get(namespace)?.[name] !== undefined ? [] : `${namespace}.${name}`,
  );
}

function describeTrap(error: unknown): string {
  if (!(error instanceof Error)) return "the module threw something";
  // Stack overflow in the module is a RangeError of the engine.
  return error.name === "RuntimeError" ? `the module trapped: ${error.message}` : error.message;
}
