// envoy.filters.http.grpc_http1_bridge: a gRPC answer for a client of HTTP/1 that reads no trailers. The response is held
// until it is complete; then the trailers stand in its head, with its length.
import { ConfigSchema } from "#wire/gen/envoy/extensions/filters/http/grpc_http1_bridge/v3/config_pb.ts";
import type { Headers } from "#wire/http/headers.ts";
import {
  CONTINUE,
  defineHttpFilter,
  HOLD,
  type HttpFilter,
  type HttpFilterType,
  settingsFrom,
  sharedFilter,
  type Verdict,
} from "../../filter.ts";
import { reasonPhrase, responseBodyTooLarge } from "../../local-replies.ts";
import type { Stream } from "../../stream.ts";

interface BridgeSettings {
  readonly ignoresQuery: boolean;
}

export const grpcHttp1Bridge: HttpFilterType = defineHttpFilter<BridgeSettings>({
  type: "grpc_http1_bridge",
  messages: [
    settingsFrom(ConfigSchema, ({ ignoreQueryParameters, upgradeProtobufToGrpc }, { path, problems }) => {
      if (upgradeProtobufToGrpc) problems.unsupported(`${path}.upgrade_protobuf_to_grpc`, "framing of plain messages");
      return { ignoresQuery: ignoreQueryParameters };
    }),
  ],
  configure: ({ ignoresQuery }) => {
    const filter: HttpFilter = {
      onRequestHeaders: (stream) => {
        if (!stream.isGrpc || !stream.sink.isHttp1) return CONTINUE;
        if (ignoresQuery) stream.path = stream.path.split("?", 1)[0] ?? stream.path;
        stream.attach(filter, new BridgedCall());
        return CONTINUE;
      },
    };
    return sharedFilter(filter);
  },
});

/** Envoy's default for what a connection buffers. */
const maxBytes = 1024 * 1024;

class BridgedCall implements HttpFilter {
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  onResponseHeaders(stream: Stream, headers: Headers, end: boolean): Verdict {
    if (!end) return HOLD;
    setStatus(stream, headers.get("grpc-status"));
    return CONTINUE;
  }

  onResponseData(stream: Stream, data: Buffer): Buffer | null {
    this.#bytes += data.length;
    if (this.#bytes > maxBytes) {
      stream.sendLocalReply(
        responseBodyTooLarge,
        `the response is longer than the ${maxBytes} bytes that are buffered`,
        [],
      );
    } else {
      this.#chunks.push(data);
    }
    return null;
  }

  onResponseEnd(stream: Stream, trailers: Headers | null): Verdict {
    // A head without a body has gone its way already.
    if (stream.responseStarted) return CONTINUE;
    const headers = stream.responseHeaders!;
    if (trailers !== null) {
      headers.copyFrom(trailers);
      stream.grpcTrailers = trailers;
      stream.responseTrailers = null;
    }
    setStatus(stream, headers.get("grpc-status"));
    stream.setResponseLength(this.#bytes);
    for (const chunk of this.#chunks) stream.sendResponseData(this, chunk);
    stream.resumeResponse();
    return CONTINUE;
  }
}

/** Clients of HTTP/1 look at the status: a call that failed is no success. */
function setStatus(stream: Stream, grpcStatus: string | undefined): void {
  if (grpcStatus === undefined || grpcStatus === "0" || stream.responseStatus !== 200) return;
  stream.responseStatus = 503;
  stream.responseReason = reasonPhrase(503);
}
