// envoy.filters.http.buffer: holds a request back until all of it is here, so that the upstream gets it at once and with
// its length. A body above the limit is refused.
import {
  BufferPerRouteSchema,
  BufferSchema,
  type Buffer as EnvoyBuffer,
} from "#wire/gen/envoy/extensions/filters/http/buffer/v3/buffer_pb.ts";
import { CONTENT_LENGTH } from "#wire/http/header-names.ts";
import type { Headers } from "#wire/http/headers.ts";
import { BODY_TUNNEL } from "../../../upstream/exchange.ts";
import {
  CONTINUE,
  DONE,
  defineHttpFilter,
  type FilterPlace,
  HOLD,
  type HttpFilter,
  type HttpFilterType,
  settingsFrom,
  sharedFilter,
  type Verdict,
} from "../../filter.ts";
import { requestBodyTooLarge } from "../../local-replies.ts";
import type { Stream } from "../../stream.ts";

interface BufferSettings {
  readonly maxBytes: number;
}

/** Null: nothing is buffered on this route. */
interface BufferRouteSettings {
  readonly buffer: BufferSettings | null;
}

export const buffer: HttpFilterType = defineHttpFilter<BufferSettings, BufferRouteSettings>({
  type: "buffer",
  messages: [settingsFrom(BufferSchema, parse)],
  routeMessages: [
    settingsFrom(BufferPerRouteSchema, ({ override }, place) => {
      if (override.case === "buffer") return { buffer: parse(override.value, place) };
      if (override.case !== "disabled" || !override.value) place.problems.invalid(place.path, "overrides nothing");
      return { buffer: null };
    }),
  ],
  configure: (settings, { environment, statPrefix, routeSettings }) => {
    const tooLarge = environment.stats.counter(`${statPrefix}downstream_rq_too_large`);
    const refuse = (stream: Stream, maxBytes: number): void => {
      tooLarge.add();
      const origins = stream.decision?.route.provenance.origins ?? [];
      stream.sendLocalReply(
        requestBodyTooLarge,
        `the body is longer than the ${maxBytes} bytes that are buffered`,
        origins,
      );
    };
    const filter: HttpFilter = {
      onRequestHeaders: (stream, headers, end): Verdict => {
        const route = routeSettings(stream);
        const used = route === null ? settings : route.buffer;
        if (used === null || end || stream.requestFraming === BODY_TUNNEL) return CONTINUE;
        if (Number(headers.getId(CONTENT_LENGTH) ?? 0) > used.maxBytes) {
          refuse(stream, used.maxBytes);
          return DONE;
        }
        stream.attach(filter, new BufferedRequest(used.maxBytes, refuse));
        return HOLD;
      },
    };
    return sharedFilter(filter);
  },
});

function parse(message: EnvoyBuffer, { path, problems }: FilterPlace): BufferSettings {
  const maxBytes = message.maxRequestBytes ?? 0;
  if (maxBytes === 0) problems.invalid(`${path}.max_request_bytes`, "is missing or 0");
  return { maxBytes };
}

class BufferedRequest implements HttpFilter {
  readonly #maxBytes: number;
  readonly #refuse: (stream: Stream, maxBytes: number) => void;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(maxBytes: number, refuse: (stream: Stream, maxBytes: number) => void) {
    this.#maxBytes = maxBytes;
    this.#refuse = refuse;
  }

  onRequestData(stream: Stream, data: Buffer): Buffer | null {
    this.#bytes += data.length;
    if (this.#bytes > this.#maxBytes) this.#refuse(stream, this.#maxBytes);
    else this.#chunks.push(data);
    return null;
  }

  onRequestEnd(stream: Stream, trailers: Headers | null): Verdict {
    // Trailers need a body whose length is not told.
    if (trailers === null && !stream.headers.hasId(CONTENT_LENGTH)) stream.setRequestLength(this.#bytes);
    for (const chunk of this.#chunks) stream.sendRequestData(this, chunk);
    stream.resumeRequest();
    return CONTINUE;
  }
}
