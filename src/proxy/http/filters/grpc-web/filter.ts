// HOT: per call. envoy.filters.http.grpc_web: gRPC-Web from browsers becomes gRPC, and back: base64 of the text format,
// trailers as the last frame of the body. Calls in other formats pass.
import { GrpcWebSchema } from "#wire/gen/envoy/extensions/filters/http/grpc_web/v3/grpc_web_pb.ts";
import { CONTENT_TYPE } from "#wire/http/header-names.ts";
import type { Headers } from "#wire/http/headers.ts";
import {
  CONTINUE,
  DONE,
  defineHttpFilter,
  HOLD,
  type HttpFilter,
  type HttpFilterType,
  settingsFrom,
  sharedFilter,
  type Verdict,
} from "../../filter.ts";
import { badGrpcWebRequest, grpcMessage, grpcStatusOf } from "../../local-replies.ts";
import type { Stream } from "../../stream.ts";
import { Base64Decoder, Base64FrameEncoder } from "./base64.ts";
import { trailersFrame } from "./trailers-frame.ts";

export const grpcWeb: HttpFilterType = defineHttpFilter<Record<string, never>>({
  type: "grpc_web",
  messages: [settingsFrom(GrpcWebSchema, () => ({}))],
  configure: () => {
    const filter: HttpFilter = {
      onRequestHeaders: (stream, headers, end): Verdict => {
        const contentType = headers.getId(CONTENT_TYPE);
        const format = contentType === undefined ? null : formatOf(contentType);
        if (format === null) return CONTINUE;
        const accepted = formatOf(headers.get("accept"));
        stream.attach(filter, new GrpcWebCall(stream, format.isText, (accepted ?? format).isText, format.suffix));
        headers.setId(CONTENT_TYPE, `application/grpc${format.suffix}`);
        headers.set("te", "trailers");
        headers.set("grpc-accept-encoding", "identity");
        stream.isGrpc = true;
        if (!end) stream.forgetRequestLength();
        return CONTINUE;
      },
    };
    return sharedFilter(filter);
  },
});

interface GrpcWebFormat {
  readonly isText: boolean;
  /** `+proto` or empty. */
  readonly suffix: string;
}

function formatOf(contentType: string | undefined): GrpcWebFormat | null {
  const match = /^application\/grpc-web(-text)?(\+proto)?(?:\s*;|$)/i.exec(contentType ?? "");
  return match === null ? null : { isText: match[1] !== undefined, suffix: (match[2] ?? "").toLowerCase() };
}

/** What is read of a response that is no gRPC, to tell the client what it says. */
const maxForeignBytes = 16 * 1024;

class GrpcWebCall implements HttpFilter {
  readonly #stream: Stream;
  readonly #decoder: Base64Decoder | null;
  readonly #encoder: Base64FrameEncoder | null;
  readonly #contentType: string;
  #foreign: Buffer[] | null = null;
  #foreignBytes = 0;

  constructor(stream: Stream, isTextRequest: boolean, isTextResponse: boolean, suffix: string) {
    this.#stream = stream;
    this.#decoder = isTextRequest ? new Base64Decoder() : null;
    this.#encoder = isTextResponse ? new Base64FrameEncoder() : null;
    this.#contentType = `application/grpc-web${isTextResponse ? "-text" : ""}${suffix}`;
  }

  onRequestData(_stream: Stream, data: Buffer): Buffer | null {
    if (this.#decoder === null) return data;
    const decoded = this.#decoder.decode(data);
    if (decoded === null) this.#refuse();
    return decoded;
  }

  onRequestEnd(): Verdict {
    if (this.#decoder === null || this.#decoder.isComplete) return CONTINUE;
    this.#refuse();
    return DONE;
  }

  #refuse(): void {
    const { connection } = this.#stream;
    this.#stream.sendLocalReply(badGrpcWebRequest, `${connection.sourceAddress} sent a body that is no base64`, []);
  }

  onResponseHeaders(stream: Stream, headers: Headers, end: boolean): Verdict {
    const isGrpc = /^application\/grpc(?:[+;]|$)/i.test(headers.getId(CONTENT_TYPE) ?? "");
    if (!isGrpc && !end && !headers.has("grpc-status")) {
      this.#foreign = [];
      return HOLD;
    }
    if (isGrpc) {
      headers.setId(CONTENT_TYPE, this.#contentType);
      // The trailers make the body longer; without a body they are in the head.
      if (!end) stream.forgetResponseLength();
    }
    return CONTINUE;
  }

  onResponseData(_stream: Stream, data: Buffer): Buffer | null {
    if (this.#foreign !== null) {
      const room = maxForeignBytes - this.#foreignBytes;
      if (room > 0) this.#foreign.push(data.subarray(0, room));
      this.#foreignBytes += Math.min(room, data.length);
      return null;
    }
    return this.#encoder === null ? data : this.#encoder.encode(data);
  }

  onResponseEnd(stream: Stream, trailers: Headers | null): Verdict {
    if (this.#foreign !== null) {
      this.#answerForeign(stream, this.#foreign);
    } else if (trailers !== null) {
      stream.responseTrailers = null;
      stream.grpcTrailers = trailers;
      const frame = trailersFrame(trailers);
      stream.sendResponseData(this, this.#encoder === null ? frame : this.#encoder.encode(frame));
    }
    return CONTINUE;
  }

  /** Something before the server answered, in its own words: they become the message. */
  #answerForeign(stream: Stream, body: readonly Buffer[]): void {
    const headers = stream.responseHeaders!;
    headers.setId(CONTENT_TYPE, this.#contentType);
    headers.set("grpc-status", String(grpcStatusOf(stream.responseStatus)));
    headers.set("grpc-message", grpcMessage(Buffer.concat(body).toString("utf8")));
    stream.setResponseLength(0);
    stream.responseTrailers = null;
    stream.resumeResponse();
  }
}
