// The two directions of a stream as `PluginDirection` needs them.
import { BODY_LENGTH } from "../../../upstream/exchange.ts";
import type { StreamContext } from "../../../wasm/contexts.ts";
import { wasmLimits } from "../../../wasm/limits.ts";
import type { WasmPlugin } from "../../../wasm/plugin.ts";
import { ABSENT } from "../../../wasm/vm.ts";
import type { HttpFilter } from "../../filter.ts";
import { requestBodyTooLarge, responseBodyTooLarge, wasmBodyLength } from "../../local-replies.ts";
import type { Stream } from "../../stream.ts";
import { countLines } from "./header-maps.ts";
import type { DirectionSide } from "./plugin-direction.ts";

export interface Reach {
  readonly stream: Stream;
  readonly filter: HttpFilter;
  readonly plugin: WasmPlugin;
  readonly context: () => StreamContext | null;
}

export function requestSide({ stream, filter, plugin, context }: Reach): DirectionSide {
  return {
    allowsHeadersStop: plugin.config.allowsHeadersStop,
    maxBodyBytes: wasmLimits.maxBodyBytes,
    callHeaders: (end) => {
      const it = context();
      if (it === null) return ABSENT;
      return it.call(it.vm.callbacks.onRequestHeaders, requestFieldCount(stream), end ? 1 : 0);
    },
    callBody: (bytes, end) => {
      const it = context();
      return it === null ? ABSENT : it.call(it.vm.callbacks.onRequestBody, bytes, end ? 1 : 0);
    },
    callTrailers: (trailers) => {
      const it = context();
      return it === null ? ABSENT : it.call(it.vm.callbacks.onRequestTrailers, countLines(trailers));
    },
    send: (data) => stream.sendRequestData(filter, data),
    resume: () => stream.resumeRequest(),
    pause: () => stream.pauseRequest(),
    unpause: () => stream.unpauseRequest(),
    declaredLength: () => (stream.requestFraming === BODY_LENGTH ? lengthOf(stream.headers.get("content-length")) : -1),
    forgetLength: () => {
      if (stream.requestFraming === BODY_LENGTH) stream.forgetRequestLength();
    },
    onTooLarge: () => {
      const cause = `the wasm plugin "${plugin.config.name}" keeps more of the request body than ${wasmLimits.maxBodyBytes} bytes`;
      stream.sendLocalReply(requestBodyTooLarge, cause, []);
    },
    onLengthMismatch: () => stream.sendLocalReply(wasmBodyLength, lengthCause(plugin, "request"), []),
  };
}

export function responseSide({ stream, filter, plugin, context }: Reach): DirectionSide {
  return {
    allowsHeadersStop: plugin.config.allowsHeadersStop,
    maxBodyBytes: wasmLimits.maxBodyBytes,
    callHeaders: (end) => {
      const it = context();
      if (it === null) return ABSENT;
      return it.call(it.vm.callbacks.onResponseHeaders, responseFieldCount(stream), end ? 1 : 0);
    },
    callBody: (bytes, end) => {
      const it = context();
      return it === null ? ABSENT : it.call(it.vm.callbacks.onResponseBody, bytes, end ? 1 : 0);
    },
    callTrailers: (trailers) => {
      const it = context();
      return it === null ? ABSENT : it.call(it.vm.callbacks.onResponseTrailers, countLines(trailers));
    },
    send: (data) => stream.sendResponseData(filter, data),
    resume: () => stream.resumeResponse(),
    pause: () => stream.pauseResponse(),
    unpause: () => stream.unpauseResponse(),
    declaredLength: () => lengthOf(stream.responseHeaders?.get("content-length")),
    forgetLength: () => stream.forgetResponseLength(),
    onTooLarge: () => {
      const cause = `the wasm plugin "${plugin.config.name}" keeps more of the response body than ${wasmLimits.maxBodyBytes} bytes`;
      stream.sendLocalReply(responseBodyTooLarge, cause, []);
    },
    onLengthMismatch: () => stream.sendLocalReply(wasmBodyLength, lengthCause(plugin, "response"), []),
  };
}

/** Pseudo headers count too; the Host line is one of them. */
function requestFieldCount(stream: Stream): number {
  return countLines(stream.headers) + (stream.headers.has("host") ? 3 : 4);
}

function responseFieldCount({ responseHeaders }: Stream): number {
  return 1 + (responseHeaders === null ? 0 : countLines(responseHeaders));
}

function lengthOf(value: string | undefined): number {
  return value !== undefined && /^\d{1,15}$/.test(value) ? Number(value) : -1;
}

function lengthCause(plugin: WasmPlugin, message: string): string {
  return `the wasm plugin "${plugin.config.name}" changed the length of the ${message} body and kept its content-length`;
}
