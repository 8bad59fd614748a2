// One connection and its plugin: turns new connections, bytes and ends into the module's callbacks. Bytes that the module
// stops are kept here and shown again with the next ones.

import type { TransportFilter } from "../../../transport/transport.ts";
import { BufferType, PeerType, StreamType } from "../../../wasm/abi.ts";
import type { WasmFunction } from "../../../wasm/callbacks.ts";
import { connectionProperty } from "../../../wasm/connection-properties.ts";
import { StreamContext } from "../../../wasm/contexts.ts";
import { KeptBody } from "../../../wasm/kept-body.ts";
import { wasmLimits } from "../../../wasm/limits.ts";
import type { WasmPlugin } from "../../../wasm/plugin.ts";
import type { PropertyValue } from "../../../wasm/properties.ts";
import type { BodyBuffer, StreamHost } from "../../../wasm/stream-host.ts";
import { ABSENT, FAILED } from "../../../wasm/vm.ts";
import { ByteFilters } from "../../byte-filters.ts";
import type { NetworkConnection } from "../../connection.ts";
import { CONTINUE, type NetworkFilter, STOP, type Verdict } from "../../filter.ts";

const nothing = Buffer.alloc(0);

/** One direction: what is kept of it, and whether its end is. */
class KeptDirection {
  readonly body: KeptBody = new KeptBody();
  isEndHeld = false;
  isCalling = false;
  mayGoOn = false;
}

export class WasmConnectionFilter implements NetworkFilter, StreamHost, TransportFilter {
  readonly #plugin: WasmPlugin;
  #connection: NetworkConnection | null = null;
  #context: StreamContext | null = null;
  #filters: ByteFilters | null = null;
  #cancelWait: (() => void) | null = null;
  /** The module has let the connection pass. */
  #isOpen = false;
  #isBypassed = false;
  #isOver = false;
  #hasClientEnded = false;
  readonly #down: KeptDirection = new KeptDirection();
  readonly #up: KeptDirection = new KeptDirection();
  readonly #properties = new Map<string, Buffer>();

  constructor(plugin: WasmPlugin) {
    this.#plugin = plugin;
  }

  onNewConnection(connection: NetworkConnection): Verdict {
    this.#connection = connection;
    if (!this.#plugin.isLoading) return this.#begin(connection);
    this.#cancelWait = this.#plugin.whenLoaded(() => {
      this.#cancelWait = null;
      if (this.#begin(connection) === CONTINUE) connection.continue();
    });
    return STOP;
  }

  #begin(connection: NetworkConnection): Verdict {
    const root = this.#plugin.rootForStream();
    if (root === null) {
      this.onPluginFailed();
      return this.#isBypassed ? CONTINUE : STOP;
    }
    this.#filters = ByteFilters.add(connection.transport, this);
    const context = new StreamContext(root, this);
    this.#context = context;
    this.#down.isCalling = true;
    const result = context.call(context.vm.callbacks.onNewConnection);
    this.#down.isCalling = false;
    if (this.#isOver) return STOP;
    this.#isOpen = this.#isBypassed || result === ABSENT || result === 0 || this.#down.mayGoOn;
    return this.#isOpen ? CONTINUE : STOP;
  }

  onClose(): void {
    this.#cancelWait?.();
    this.#cancelWait = null;
    this.#isOver = true;
    const context = this.#context;
    if (context === null) return;
    context.call(
      context.vm.callbacks.onDownstreamConnectionClose,
      this.#hasClientEnded ? PeerType.Remote : PeerType.Local,
    );
    context.close();
  }

  get isFull(): boolean {
    return this.#up.body.length > wasmLimits.maxBodyBytes;
  }

  onRead(data: Buffer): Buffer | null {
    // Until the terminal filter has the connection, bytes are put aside and come again.
    if (this.#isBypassed || this.#connection?.isServed !== true) return data;
    return this.#show(this.#down, data, false);
  }

  onReadEnd(): boolean {
    this.#hasClientEnded = true;
    if (this.#isBypassed || this.#isOver || this.#connection?.isServed !== true) return true;
    return this.#showEnd(this.#down);
  }

  onWrite(data: Buffer): Buffer | null {
    return this.#isBypassed ? data : this.#show(this.#up, data, false);
  }

  onWriteEnd(): boolean {
    if (this.#isBypassed || this.#isOver) return true;
    return this.#showEnd(this.#up);
  }

  /** Shows the end. True when it goes on now, behind what was kept. */
  #showEnd(direction: KeptDirection): boolean {
    const kept = this.#show(direction, nothing, true);
    if (this.#isOver) return true;
    if (kept === null) {
      direction.isEndHeld = true;
      return false;
    }
    if (kept.length > 0) this.#pass(direction, kept);
    if (direction === this.#up) this.#tellUpstreamClosed();
    return true;
  }

  #tellUpstreamClosed(): void {
    const context = this.#context;
    context?.call(context.vm.callbacks.onUpstreamConnectionClose, PeerType.Unknown);
  }

  /** Gives what goes on; null for nothing. */
  #show(direction: KeptDirection, data: Buffer, isEnd: boolean): Buffer | null {
    const context = this.#context;
    if (context === null || this.#isOver) return data;
    const callback = this.#callbackOf(context, direction);
    if (callback === null) return data;
    const bytes = direction.body.show(data);
    direction.isCalling = true;
    direction.mayGoOn = false;
    const result = context.call(callback, bytes, isEnd ? 1 : 0);
    direction.isCalling = false;
    if (this.#isOver) return null;
    if (result === 0 || result === FAILED || direction.mayGoOn) return direction.body.take();
    direction.body.keep(true);
    if (direction === this.#down && direction.body.length > wasmLimits.maxBodyBytes) this.#tooMuch();
    return null;
  }

  #callbackOf(context: StreamContext, direction: KeptDirection): WasmFunction | null {
    const { onDownstreamData, onUpstreamData } = context.vm.callbacks;
    return direction === this.#down ? onDownstreamData : onUpstreamData;
  }

  #tooMuch(): void {
    this.#end(
      "wasm_too_much_data",
      `the wasm plugin "${this.#plugin.config.name}" keeps more than ${wasmLimits.maxBodyBytes} bytes`,
    );
  }

  #pass(direction: KeptDirection, data: Buffer): void {
    if (direction === this.#down) this.#filters?.deliver(this, data);
    else this.#filters?.send(this, data);
  }

  headerMap(): null {
    return null;
  }

  bodyBuffer(type: number): BodyBuffer | null {
    if (type === BufferType.DownstreamData) return this.#down.body.visible();
    return type === BufferType.UpstreamData ? this.#up.body.visible() : null;
  }

  property(name: string): PropertyValue | undefined {
    const own = this.#properties.get(name);
    if (own !== undefined) return own;
    return this.#connection === null ? undefined : connectionProperty(this.#connection.info, name);
  }

  setProperty(name: string, value: Buffer): boolean {
    if (!this.#properties.has(name) && this.#properties.size >= wasmLimits.maxStreamProperties) return false;
    this.#properties.set(name, value);
    return true;
  }

  continueStream(type: number): void {
    if (type === StreamType.Upstream) this.#goOn(this.#up);
    else if (type === StreamType.Downstream) this.#goOn(this.#down);
  }

  #goOn(direction: KeptDirection): void {
    if (this.#isOver) return;
    if (direction.isCalling) {
      direction.mayGoOn = true;
    } else if (direction === this.#down && !this.#isOpen) {
      this.#isOpen = true;
      this.#connection?.continue();
    } else {
      this.#passKept(direction);
    }
  }

  #passKept(direction: KeptDirection): void {
    const kept = direction.body.take();
    if (kept.length > 0) this.#pass(direction, kept);
    if (!direction.isEndHeld || this.#isOver) return;
    direction.isEndHeld = false;
    if (direction === this.#down) {
      this.#filters?.deliverEnd(this);
    } else {
      this.#tellUpstreamClosed();
      this.#filters?.sendEnd(this);
    }
  }

  closeStream(type: number): void {
    if (type !== StreamType.Downstream && type !== StreamType.Upstream) return;
    const details = type === StreamType.Downstream ? "wasm_downstream_close" : "wasm_upstream_close";
    this.#end(details, `the wasm plugin "${this.#plugin.config.name}" closed the connection`);
  }

  /** A connection has no response. */
  sendLocalReply(): void {}

  clearRouteCache(): void {}

  onPluginFailed(): void {
    if (this.#isOver) return;
    if (this.#plugin.config.failurePolicy !== "fail_open") {
      const cause = `the wasm plugin "${this.#plugin.config.name}" can't be used: ${this.#plugin.failure ?? ""}`;
      this.#end("wasm_fail_stream", cause);
      return;
    }
    this.#isBypassed = true;
    if (this.#down.isCalling || this.#up.isCalling || this.#filters === null) return;
    if (this.#isOpen) {
      this.#passKept(this.#down);
      this.#passKept(this.#up);
    } else {
      this.#isOpen = true;
      this.#connection?.continue();
    }
  }

  /** Ends the connection; what was written before still goes out. */
  #end(details: string, cause: string): void {
    const connection = this.#connection;
    if (connection === null || this.#isOver) return;
    this.#isOver = true;
    if (!connection.isServed) {
      connection.refuse({ flag: "", details, cause });
      return;
    }
    connection.info.terminationDetails = details;
    connection.info.cause = cause;
    connection.transport.closeGracefully();
  }
}
