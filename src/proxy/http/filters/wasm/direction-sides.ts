// The two directions of a stream as `PluginDirection` needs them.
import { BODY_LENGTH } from "../../../upstream/exchange.ts";
import type { StreamContext } from "../../../wasm/contexts.ts";
import { wasmLimits } from "../../../wasm/limits.ts";
import type { WasmPlugin } from "../../../wasm/plugin.ts";
import { ABSENT } from "../../../wasm/vm.ts";
import type { HttpFilter } from "../../filter.ts";
import { type LocalReply, requestBodyTooLarge, responseBodyTooLarge, wasmBodyLength } from "../../local-replies.ts";
import type { Stream } from "../../stream.ts";
import { countLines } from "./header-maps.ts";
import type { DirectionSide } from "./plugin-direction.ts";

export interface Reach {
  readonly stream: Stream;
  readonly filter: HttpFilter;
  readonly plugin: WasmPlugin;
  readonly context: () => StreamContext | null;
}

export function requestSide(reach: Reach): DirectionSide {
  const { stream, filter } = reach;
  return {
    ...commonSide(reach, "request", {
      headers: ({ onRequestHeaders }) => onRequestHeaders,
      body: ({ onRequestBody }) => onRequestBody,
      trailers: ({ onRequestTrailers }) => onRequestTrailers,
      fieldCount: () => requestFieldCount(stream),
      tooLarge: requestBodyTooLarge,
    }),
    send: (data) => stream.sendRequestData(filter, data),
    resume: () => stream.resumeRequest(),
    pause: () => stream.pauseRequest(),
    unpause: () => stream.unpauseRequest(),
    declaredLength: () => (stream.requestFraming === BODY_LENGTH ? lengthOf(stream.headers.get("content-length")) : -1),
    forgetLength: () => {
      if (stream.requestFraming === BODY_LENGTH) stream.forgetRequestLength();
    },
  };
}

export function responseSide(reach: Reach): DirectionSide {
  const { stream, filter } = reach;
  return {
    ...commonSide(reach, "response", {
      headers: ({ onResponseHeaders }) => onResponseHeaders,
      body: ({ onResponseBody }) => onResponseBody,
      trailers: ({ onResponseTrailers }) => onResponseTrailers,
      fieldCount: () => responseFieldCount(stream),
      tooLarge: responseBodyTooLarge,
    }),
    send: (data) => stream.sendResponseData(filter, data),
    resume: () => stream.resumeResponse(),
    pause: () => stream.pauseResponse(),
    unpause: () => stream.unpauseResponse(),
    declaredLength: () => lengthOf(stream.responseHeaders?.get("content-length")),
    forgetLength: () => stream.forgetResponseLength(),
  };
}

type ReadCallback = (callbacks: StreamContext["vm"]["callbacks"]) => Parameters<StreamContext["call"]>[0];

/** What the directions do with names of their own. */
interface DirectionNames {
  readonly headers: ReadCallback;
  readonly body: ReadCallback;
  readonly trailers: ReadCallback;
  readonly fieldCount: () => number;
  readonly tooLarge: LocalReply;
}

type CommonSide = Pick<
  DirectionSide,
  "allowsHeadersStop" | "maxBodyBytes" | "callHeaders" | "callBody" | "callTrailers" | "onTooLarge" | "onLengthMismatch"
>;

function commonSide(
  { stream, plugin, context }: Reach,
  direction: "request" | "response",
  { headers, body, trailers, fieldCount, tooLarge }: DirectionNames,
): CommonSide {
  const { allowsHeadersStop, name } = plugin.config;
  const { maxBodyBytes } = wasmLimits;
  return {
    allowsHeadersStop,
    maxBodyBytes,
    callHeaders: (end) => {
      const it = context();
      return it === null ? ABSENT : it.call(headers(it.vm.callbacks), fieldCount(), end ? 1 : 0);
    },
    callBody: (bytes, end) => {
      const it = context();
      return it === null ? ABSENT : it.call(body(it.vm.callbacks), bytes, end ? 1 : 0);
    },
    callTrailers: (lines) => {
      const it = context();
      return it === null ? ABSENT : it.call(trailers(it.vm.callbacks), countLines(lines));
    },
    onTooLarge: () => {
      const cause = `the wasm plugin "${name}" keeps more of the ${direction} body than ${maxBodyBytes} bytes`;
      stream.sendLocalReply(tooLarge, cause, []);
    },
    onLengthMismatch: () => {
      const cause = `the wasm plugin "${name}" changed the length of the ${direction} body and kept its content-length`;
      stream.sendLocalReply(wasmBodyLength, cause, []);
    },
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
