// Base64 in pieces (RFC 4648), for gRPC-Web's text format.
import { MessageFrames } from "#wire/grpc/message-frames.ts";

const empty: Buffer = Buffer.alloc(0);

/** Decodes pieces that may be cut anywhere. Padding may stand at the end of every group of four. */
export class Base64Decoder {
  #rest = "";

  /** Null: this is no base64. */
  decode(data: Buffer): Buffer | null {
    const text = this.#rest + data.toString("latin1");
    const whole = text.length - (text.length % 4);
    this.#rest = text.slice(whole);
    const groups = text.slice(0, whole);
    if (!/^(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)*$/.test(groups)) return null;
    if (!groups.includes("=")) return Buffer.from(groups, "base64");
    return Buffer.concat((groups.match(/[^=]+=*/g) ?? []).map((part) => Buffer.from(part, "base64")));
  }

  get isComplete(): boolean {
    return this.#rest === "";
  }
}

/** Encodes gRPC messages in pieces. Each message ends with its padding, so that the client can read it at once. */
export class Base64FrameEncoder {
  readonly #frames = new MessageFrames();
  #rest: Buffer = empty;

  encode(data: Buffer): Buffer {
    let text = "";
    for (let at = 0; at < data.length; ) {
      const end = this.#frames.next(data, at);
      const piece = data.subarray(at, end);
      const bytes = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece]);
      const taken = this.#frames.isBetween ? bytes.length : bytes.length - (bytes.length % 3);
      text += bytes.toString("base64", 0, taken);
      this.#rest = taken === bytes.length ? empty : Buffer.from(bytes.subarray(taken));
      at = end;
    }
    return Buffer.from(text, "latin1");
  }
}
