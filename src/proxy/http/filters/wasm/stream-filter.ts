// One stream and its plugin: turns the filter's hooks into the module's callbacks, and gives the module what it may reach
// of the stream. A module that asks to go on, to answer or to close while it runs is heard after it has returned.
import { Headers } from "#wire/http/headers.ts";
import { BufferType, MapType, StreamType } from "../../../wasm/abi.ts";
import { StreamContext } from "../../../wasm/contexts.ts";
import { wasmLimits } from "../../../wasm/limits.ts";
import type { WasmPlugin } from "../../../wasm/plugin.ts";
import type { PropertyValue } from "../../../wasm/properties.ts";
import type { BodyBuffer, HeaderMap, PluginReply, StreamHost } from "../../../wasm/stream-host.ts";
import { CONTINUE, DONE, type HttpFilter, type Verdict } from "../../filter.ts";
import { wasmFailed, wasmReply } from "../../local-replies.ts";
import type { Stream } from "../../stream.ts";
import { streamAttribute } from "./attributes.ts";
import { requestSide, responseSide } from "./direction-sides.ts";
import { fixedMap, requestHeaderMap, responseHeaderMap, trailerMap } from "./header-maps.ts";
import { PluginDirection } from "./plugin-direction.ts";

/** Under which plugins keep what they set with `proxy_set_property`, for the plugins after them. */
const propertyNamespace = "wasm";

export class WasmStreamFilter implements HttpFilter, StreamHost {
  readonly #stream: Stream;
  readonly #plugin: WasmPlugin;
  readonly #request: PluginDirection;
  readonly #response: PluginDirection;
  #context: StreamContext | null = null;
  #cancelWait: (() => void) | null = null;
  /** The heads as they were at the stream's end, for a module that logs later. */
  #lastHeads: ReadonlyMap<number, HeaderMap> | null = null;

  constructor(stream: Stream, plugin: WasmPlugin) {
    this.#stream = stream;
    this.#plugin = plugin;
    const reach = { stream, filter: this, plugin, context: () => this.#context };
    this.#request = new PluginDirection(requestSide(reach));
    this.#response = new PluginDirection(responseSide(reach));
  }

  onRequestHeaders(_stream: Stream, _headers: Headers, end: boolean): Verdict {
    if (this.#plugin.isLoading) {
      this.#cancelWait = this.#plugin.whenLoaded(() => {
        this.#cancelWait = null;
        if (this.#begin()) this.#request.onHeadersLater(end);
      });
      return this.#request.waitWithHead();
    }
    if (this.#begin()) return this.#request.onHeaders(end);
    return this.#plugin.config.failurePolicy === "fail_open" ? CONTINUE : DONE;
  }

  /** Makes the stream's context. False when the plugin takes no part: the stream was answered, or goes on without it. */
  #begin(): boolean {
    const root = this.#plugin.rootForStream();
    if (root !== null) this.#context = new StreamContext(root, this);
    if (root === null) this.onPluginFailed();
    return root !== null && root.vm.failure === null;
  }

  onRequestData(_stream: Stream, data: Buffer): Buffer | null {
    return this.#request.onData(data);
  }

  onRequestEnd(_stream: Stream, trailers: Headers | null): Verdict {
    return this.#request.onEnd(trailers);
  }

  onResponseHeaders(_stream: Stream, _headers: Headers, end: boolean): Verdict {
    // An answer that was given before the request came here is none of the plugin's.
    if (this.#context === null) this.#response.bypass();
    return this.#response.onHeaders(end);
  }

  onResponseData(_stream: Stream, data: Buffer): Buffer | null {
    return this.#response.onData(data);
  }

  onResponseEnd(_stream: Stream, trailers: Headers | null): Verdict {
    return this.#response.onEnd(trailers);
  }

  onComplete(): void {
    this.#cancelWait?.();
    this.#cancelWait = null;
    this.#request.end();
    this.#response.end();
    const context = this.#context;
    if (context === null) return;
    context.close();
    // The heads belong to connections, which use them again.
    if (context.host !== null) this.#lastHeads = this.#copyHeads();
  }

  #copyHeads(): ReadonlyMap<number, HeaderMap> {
    const heads = new Map<number, HeaderMap>();
    for (const type of [MapType.RequestHeaders, MapType.ResponseHeaders, MapType.ResponseTrailers]) {
      const map = this.#loggedMap(type);
      if (map !== null) heads.set(type, fixedMap(map.pairs()));
    }
    return heads;
  }

  headerMap(type: number, forChange: boolean): HeaderMap | null {
    if (this.#context?.isLogging === true) {
      if (forChange) return null;
      return this.#lastHeads === null ? this.#loggedMap(type) : (this.#lastHeads.get(type) ?? null);
    }
    const stream = this.#stream;
    switch (type) {
      case MapType.RequestHeaders:
        return this.#request.hasHead ? requestHeaderMap(stream, () => this.clearRouteCache()) : null;
      case MapType.RequestTrailers:
        return this.#request.hasEnd ? trailerMap(stream.requestTrailers, () => this.#addRequestTrailers()) : null;
      case MapType.ResponseHeaders:
        return this.#response.hasHead ? responseHeaderMap(stream) : null;
      case MapType.ResponseTrailers:
        return this.#response.hasEnd ? trailerMap(stream.responseTrailers, () => this.#addResponseTrailers()) : null;
      default:
        return null;
    }
  }

  /** Trailers need a body without a length before them. */
  #addRequestTrailers(): Headers {
    const trailers = new Headers();
    this.#stream.requestTrailers = trailers;
    if (this.#request.hasHead) this.#stream.forgetRequestLength();
    return trailers;
  }

  #addResponseTrailers(): Headers {
    const trailers = new Headers();
    this.#stream.responseTrailers = trailers;
    if (this.#response.hasHead) this.#stream.forgetResponseLength();
    return trailers;
  }

  #loggedMap(type: number): HeaderMap | null {
    const stream = this.#stream;
    if (type === MapType.RequestHeaders) return requestHeaderMap(stream, () => {});
    if (type === MapType.ResponseHeaders) return stream.responseHeaders === null ? null : responseHeaderMap(stream);
    if (type !== MapType.ResponseTrailers || stream.responseTrailers === null) return null;
    return trailerMap(stream.responseTrailers, null);
  }

  bodyBuffer(type: number): BodyBuffer | null {
    if (type === BufferType.RequestBody) return this.#request.body.visible();
    return type === BufferType.ResponseBody ? this.#response.body.visible() : null;
  }

  property(name: string): PropertyValue | undefined {
    const own = this.#stream.metadata(propertyNamespace)?.[name];
    if (Buffer.isBuffer(own)) return own;
    return streamAttribute(this.#stream, name, this.#lastHeads === null);
  }

  setProperty(name: string, value: Buffer): boolean {
    const known = this.#stream.metadata(propertyNamespace) ?? {};
    if (!Object.hasOwn(known, name) && Object.keys(known).length >= wasmLimits.maxStreamProperties) return false;
    this.#stream.setMetadata(propertyNamespace, name, value);
    return true;
  }

  continueStream(type: number): void {
    if (type === StreamType.Request) this.#request.goOn();
    else if (type === StreamType.Response) this.#response.goOn();
  }

  closeStream(type: number): void {
    if (type !== StreamType.Request && type !== StreamType.Response) return;
    this.#request.end();
    this.#response.end();
    this.#stream.responseDetails = "wasm_stream_closed";
    this.#stream.cause = `the wasm plugin "${this.#plugin.config.name}" closed the stream`;
    this.#stream.abortResponse();
  }

  sendLocalReply(reply: PluginReply): void {
    this.#request.end();
    // An answer in place of a response that the plugin has seen is not shown to it again.
    if (this.#response.hasBegun) this.#response.end();
    const cause = `the wasm plugin "${this.#plugin.config.name}" answered`;
    this.#stream.sendLocalReply(
      wasmReply(reply.status, reply.details, reply.body, reply.grpcStatus),
      cause,
      [],
      (headers) => {
        for (const [name, value] of reply.headers) {
          if (name === "content-type") headers.set(name, value);
          else if (mayBeAdded(name)) headers.add(name, value);
        }
      },
    );
  }

  clearRouteCache(): void {
    if (this.#request.hasHead) this.#stream.selectRoute();
  }

  onPluginFailed(): void {
    if (this.#plugin.config.failurePolicy === "fail_open") {
      this.#request.bypass();
      this.#response.bypass();
      return;
    }
    this.#request.end();
    this.#response.bypass();
    const cause = `the wasm plugin "${this.#plugin.config.name}" can't be used: ${this.#plugin.failure ?? ""}`;
    this.#stream.sendLocalReply(wasmFailed, cause, []);
  }
}

/** The length and the connection are not the plugin's, and pseudo headers have a place of their own. */
function mayBeAdded(name: string): boolean {
  return (
    name.charCodeAt(0) !== 0x3a && name !== "content-length" && name !== "transfer-encoding" && name !== "connection"
  );
}
