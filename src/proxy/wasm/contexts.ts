// The two kinds of contexts that a module knows by number: a root context for each plugin, and a stream context for each
// request or connection that passes through it. A context ends in three steps: the module is told that it is done, may
// ask for more time, and is then told to log and to let go.
import type { WasmFunction } from "./callbacks.ts";
import type { GrpcCall, GrpcCallRequest } from "./grpc-calls.ts";
import type { HttpCallResponse } from "./http-calls.ts";
import type { Pair } from "./pairs.ts";
import type { QueueReader } from "./shared-queues.ts";
import type { StreamHost } from "./stream-host.ts";
import { ABSENT, FAILED, type WasmVm } from "./vm.ts";

export interface WasmContext {
  readonly id: number;
  readonly vm: WasmVm;
  readonly root: RootContext;
  /** Null for a root context, and once the stream is gone. */
  readonly host: StreamHost | null;
  /** The module says that it needs the context no longer. False when it was not asked. */
  finish(): boolean;
  onVmFailed(): void;
}

/** Where a context is in its end. */
const OPEN = 0;
const WAITING = 1;
const ENDED = 2;

export interface RootSettings {
  readonly name: string;
  readonly rootId: string;
  readonly configuration: Buffer;
}

export class RootContext implements WasmContext, QueueReader {
  readonly id: number;
  readonly vm: WasmVm;
  readonly root: RootContext;
  readonly host: null = null;
  readonly settings: RootSettings;
  /** `proxy_on_configure` is running: only then the plugin's configuration can be read. */
  isConfiguring = false;
  /** The answer to an HTTP call, while the module is told of it. */
  httpResponse: HttpCallResponse | null = null;
  /** The same of a gRPC call. */
  grpcInitialMetadata: readonly Pair[] | null = null;
  grpcTrailingMetadata: readonly Pair[] | null = null;
  grpcMessage: Buffer | null = null;
  statusCode = 0;
  statusMessage = "";
  readonly #cancels = new Map<number, () => void>();
  readonly #grpc = new Map<number, { readonly call: GrpcCall; readonly isStream: boolean }>();
  #lastCallId = 0;
  #tickMs = 0;
  #cancelTick: (() => void) | null = null;
  #end = OPEN;
  #onEnd: (() => void) | null = null;

  constructor(vm: WasmVm, settings: RootSettings) {
    this.vm = vm;
    this.root = this;
    this.settings = settings;
    this.id = vm.nextContextId();
    vm.contexts.set(this.id, this);
  }

  /** Tells the module of the context, of its VM's start and of the plugin's configuration. False: it refused, or failed. */
  start(): boolean {
    const { vm, settings } = this;
    const { callbacks } = vm;
    vm.setStarting(true);
    vm.call(callbacks.onContextCreate, this, 0);
    if (!accepted(vm.call(callbacks.onVmStart, this, vm.options.configuration.length))) {
      return this.#refused("it refused to start (proxy_on_vm_start)");
    }
    this.isConfiguring = true;
    const configured = vm.call(callbacks.onConfigure, this, settings.configuration.length);
    this.isConfiguring = false;
    if (!accepted(configured)) return this.#refused("it refused its configuration (proxy_on_configure)");
    vm.setStarting(false);
    return true;
  }

  #refused(words: string): boolean {
    this.vm.failWith(words);
    return false;
  }

  /** 0 ends the ticks. */
  setTickPeriod(milliseconds: number): void {
    this.#tickMs = milliseconds === 0 ? 0 : Math.max(milliseconds, this.vm.services.limits.minTickMs);
    this.#cancelTick?.();
    this.#cancelTick = null;
    this.#scheduleTick();
  }

  #scheduleTick(): void {
    if (this.#tickMs === 0 || this.#end === ENDED || this.vm.failure !== null) return;
    this.#cancelTick = this.vm.services.loop.after(this.#tickMs, () => {
      this.#cancelTick = null;
      this.vm.call(this.vm.callbacks.onTick, this);
      if (this.#cancelTick === null) this.#scheduleTick();
    });
  }

  onQueueReady(token: number): void {
    this.vm.call(this.vm.callbacks.onQueueReady, this, token);
  }

  get openCalls(): number {
    return this.#cancels.size;
  }

  /** A number for a call that is about to begin. */
  nextCallId(): number {
    this.#lastCallId = this.#lastCallId >= 0xffffffff ? 1 : this.#lastCallId + 1;
    return this.#cancels.has(this.#lastCallId) ? this.nextCallId() : this.#lastCallId;
  }

  addCall(id: number, cancel: () => void): void {
    this.#cancels.set(id, cancel);
  }

  /** Begins a gRPC call with one message, or a stream of messages. */
  startGrpc(id: number, request: GrpcCallRequest, isStream: boolean): GrpcCall {
    const { callbacks, services } = this.vm;
    const call = services.grpc.start(request, {
      onInitialMetadata: (metadata) => {
        if (!isStream) return;
        this.grpcInitialMetadata = metadata;
        this.vm.call(callbacks.onGrpcInitialMetadata, this, id, metadata.length);
        this.grpcInitialMetadata = null;
      },
      onMessage: (message) => this.#onGrpcMessage(id, message, isStream),
      onTrailingMetadata: (metadata) => {
        if (!isStream) return;
        this.grpcTrailingMetadata = metadata;
        this.vm.call(callbacks.onGrpcTrailingMetadata, this, id, metadata.length);
        this.grpcTrailingMetadata = null;
      },
      onClose: (status, message) => this.#onGrpcClose(id, status, message),
    });
    this.#grpc.set(id, { call, isStream });
    this.#cancels.set(id, () => call.cancel());
    return call;
  }

  /** A call of this plugin that is open; undefined for an unknown number. */
  grpcCall(id: number): { readonly call: GrpcCall; readonly isStream: boolean } | undefined {
    return this.#grpc.get(id);
  }

  /** Ends a call without a word to the module. */
  cancelGrpc(id: number): void {
    this.#cancels.get(id)?.();
    this.#cancels.delete(id);
    this.#grpc.delete(id);
  }

  #onGrpcMessage(id: number, message: Buffer, isStream: boolean): void {
    if (!this.#grpc.has(id)) return;
    // A call is over with its message: the module hears of its status only where there was none.
    if (!isStream) this.cancelGrpc(id);
    this.grpcMessage = message;
    this.vm.call(this.vm.callbacks.onGrpcReceive, this, id, message.length);
    this.grpcMessage = null;
  }

  #onGrpcClose(id: number, status: number, message: string): void {
    if (!this.#grpc.delete(id)) return;
    this.#cancels.delete(id);
    this.statusCode = status;
    this.statusMessage = message;
    this.vm.call(this.vm.callbacks.onGrpcClose, this, id, status);
    this.statusMessage = "";
  }

  /** Tells the module what became of an HTTP call. */
  onHttpCallEnd(id: number, response: HttpCallResponse | null, statusCode: number, statusMessage: string): void {
    if (!this.#cancels.delete(id)) return;
    this.httpResponse = response;
    this.statusCode = statusCode;
    this.statusMessage = statusMessage;
    this.vm.call(
      this.vm.callbacks.onHttpCallResponse,
      this,
      id,
      response?.headers.length ?? 0,
      response?.body.length ?? 0,
      response?.trailers.length ?? 0,
    );
    this.httpResponse = null;
    this.statusMessage = "";
  }

  /** The plugin is not used any more. Calls back when the module has let go of it. */
  close(onEnd: () => void): void {
    if (this.#end !== OPEN) return;
    this.#onEnd = onEnd;
    if (isDone(this.vm, this)) this.#delete();
    else this.#end = WAITING;
  }

  finish(): boolean {
    if (this.#end !== WAITING) return false;
    this.vm.afterCall(() => this.#delete());
    return true;
  }

  onVmFailed(): void {
    this.#release();
  }

  #delete(): void {
    if (this.#end === ENDED) return;
    this.vm.call(this.vm.callbacks.onDelete, this);
    this.vm.contexts.delete(this.id);
    this.#release();
  }

  #release(): void {
    this.#end = ENDED;
    this.#cancelTick?.();
    this.#cancelTick = null;
    this.vm.services.queues.forget(this);
    for (const cancel of this.#cancels.values()) cancel();
    this.#cancels.clear();
    this.#grpc.clear();
    this.#onEnd?.();
    this.#onEnd = null;
  }
}

export class StreamContext implements WasmContext {
  readonly id: number;
  readonly vm: WasmVm;
  readonly root: RootContext;
  #host: StreamHost | null;
  #end = OPEN;
  /** The stream is over and waits for the module to be done: headers can be read, and nothing changed. */
  isLogging = false;

  constructor(root: RootContext, host: StreamHost) {
    this.vm = root.vm;
    this.root = root;
    this.#host = host;
    this.id = this.vm.nextContextId();
    this.vm.contexts.set(this.id, this);
    this.vm.call(this.vm.callbacks.onContextCreate, this, root.id);
  }

  get host(): StreamHost | null {
    return this.#host;
  }

  /** One callback of the stream: its result, ABSENT or FAILED. */
  call(callback: WasmFunction | null, a = 0, b = 0): number {
    return this.#end === ENDED ? ABSENT : this.vm.call(callback, this, a, b);
  }

  /** The stream is over. */
  close(): void {
    if (this.#end !== OPEN) return;
    this.isLogging = true;
    if (isDone(this.vm, this)) this.#delete();
    else this.#end = WAITING;
  }

  finish(): boolean {
    if (this.#end !== WAITING) return false;
    this.vm.afterCall(() => this.#delete());
    return true;
  }

  onVmFailed(): void {
    const host = this.#host;
    if (this.#end === OPEN && host !== null) this.vm.afterCall(() => host.onPluginFailed());
    this.#end = ENDED;
    this.#host = null;
  }

  #delete(): void {
    if (this.#end === ENDED) return;
    this.vm.call(this.vm.callbacks.onLog, this);
    this.vm.call(this.vm.callbacks.onDelete, this);
    this.vm.contexts.delete(this.id);
    this.#end = ENDED;
    this.#host = null;
  }
}

function accepted(result: number): boolean {
  return result === ABSENT || (result !== FAILED && result !== 0);
}

function isDone(vm: WasmVm, context: WasmContext): boolean {
  return vm.call(vm.callbacks.onDone, context) !== 0;
}
