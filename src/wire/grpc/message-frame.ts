// Messages of a @grpc/grpc-js server as they stand on the wire (flag, length, bytes), for responses that many streams are
// sent alike: grpc-js compresses nothing, and copies each message for each stream. A frame goes to the HTTP/2 stream as it
// is, and streams share it.
import type { Writable } from "node:stream";
import { gunzipSync } from "node:zlib";
import { Metadata, ServerInterceptingCall, type ServerInterceptor, status } from "@grpc/grpc-js";

/** Metadata of a client that takes compressed messages: grpc-js keeps `grpc-accept-encoding` from its handlers. */
export const acceptEncodingKey = "outrigger-accept-encoding";
/** Response metadata that names how flagged messages are compressed. */
export const encodingKey = "grpc-encoding";
export const gzip = "gzip";

const headLength = 5;

export class MessageFrame {
  /** With flag and length in front. */
  readonly wire: Buffer;
  readonly isCompressed: boolean;

  constructor(message: Uint8Array, isCompressed = false) {
    const head = Buffer.alloc(headLength);
    head[0] = isCompressed ? 1 : 0;
    head.writeUInt32BE(message.length, 1);
    this.wire = Buffer.concat([head, message]);
    this.isCompressed = isCompressed;
  }
}

const frames = new WeakMap<Uint8Array, MessageFrame>();

/** The same frame for the same bytes. */
export function sharedFrame(message: Uint8Array, isCompressed: boolean): MessageFrame {
  let frame = frames.get(message);
  if (frame === undefined) {
    frame = new MessageFrame(message, isCompressed);
    frames.set(message, frame);
  }
  return frame;
}

/** Lets handlers write frames. */
export const writesFrames: ServerInterceptor = (_method, call) => new FrameCall(call);

class FrameCall extends ServerInterceptingCall {
  /** Undefined where this grpc-js does not show it. */
  readonly #stream: Writable | undefined;
  #hasSentMetadata = false;

  constructor(call: ConstructorParameters<typeof ServerInterceptingCall>[0]) {
    super(call);
    this.#stream = streamOf(call);
  }

  override sendMetadata(metadata: Metadata): void {
    this.#hasSentMetadata = true;
    super.sendMetadata(metadata);
  }

  override sendMessage(message: unknown, callback: () => void): void {
    if (!(message instanceof MessageFrame)) return super.sendMessage(message, callback);
    const stream = this.#stream;
    if (stream === undefined) {
      const bytes = message.wire.subarray(headLength);
      return super.sendMessage(message.isCompressed ? gunzipSync(bytes) : bytes, callback);
    }
    if (stream.destroyed || stream.writableEnded) return;
    if (!this.#hasSentMetadata) this.sendMetadata(new Metadata());
    stream.write(message.wire, (error) => {
      if (error)
        this.sendStatus({ code: status.INTERNAL, details: `a message could not be written: ${error.message}` });
      else callback();
    });
  }
}

function streamOf(call: object): Writable | undefined {
  const stream: unknown = Reflect.get(call, "stream");
  const isWritable = typeof stream === "object" && stream !== null && "write" in stream && "writableEnded" in stream;
  return isWritable ? (stream as Writable) : undefined;
}
