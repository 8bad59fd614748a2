// Responses that many streams are sent alike: made once, with a nonce that they share, and kept as long as some stream
// still has to send them. Large ones are compressed for clients that take that, of pieces that other responses share.
import { joinGzip } from "#wire/grpc/gzip-pieces.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import type { EncodedResource } from "../push/encoded-resource.ts";
import { type DeltaResponseContent, deltaResponsePieces, encodeDeltaResponse } from "./response-bytes.ts";

/** What goes out, in the form that the client takes. */
export interface ResponseMessage {
  /** Of its resources, uncompressed. */
  readonly length: number;
  /** Uncompressed. */
  bytes(): Buffer;
  /** Undefined where it would not pay. */
  compressed(): Buffer | undefined;
}

export interface MadeResponse {
  readonly nonce: string;
  readonly message: ResponseMessage;
}

interface SharedResponse {
  readonly content: DeltaResponseContent;
  readonly message: WeakRef<ResponseMessage>;
}

/** Smaller ones cost less than looking for them. */
const minShared = 512;
/** Below it the compressed forms that are kept cost more memory than they save on the wire: 50 KiB for each of 1000 proxies
 * with Sidecars. */
const minCompressed = 32 * 1024;

const byFirstResource = new WeakMap<EncodedResource, SharedResponse>();
let count = 0;

/** The nonce of the content is for a response that nobody shares. `lastNonce`: a stream never hears one twice in a row. */
export function deltaResponse(content: DeltaResponseContent, lastNonce: string): MadeResponse {
  const [first] = content.resources;
  if (first === undefined || sizeOf(content) < minShared) return own(content);
  const known = byFirstResource.get(first);
  const message = known?.message.deref();
  if (known !== undefined && message !== undefined && isSame(known.content, content)) {
    return known.content.nonce === lastNonce ? own(content) : { nonce: known.content.nonce, message };
  }
  const shared = { ...content, nonce: `shared-${++count}` };
  const made = messageOf(shared);
  byFirstResource.set(first, { content: shared, message: new WeakRef(made) });
  return { nonce: shared.nonce, message: made };
}

export function plainMessage(bytes: Buffer): ResponseMessage {
  return { length: bytes.length, bytes: () => bytes, compressed: () => undefined };
}

function own(content: DeltaResponseContent): MadeResponse {
  return { nonce: content.nonce, message: messageOf(content) };
}

function messageOf(content: DeltaResponseContent): ResponseMessage {
  const length = sizeOf(content);
  // How well a key compresses beside other keys is nobody's business.
  if (length < minCompressed || content.typeUrl === typeUrl.secret) return plainMessage(encodeDeltaResponse(content));
  let bytes: WeakRef<Buffer> | undefined;
  let compressed: Buffer | undefined;
  const message: ResponseMessage = {
    length,
    bytes: () => {
      const made = bytes?.deref() ?? encodeDeltaResponse(content);
      if (bytes?.deref() !== made) bytes = new WeakRef(made);
      return made;
    },
    compressed: () => {
      if (compressed === undefined) {
        compressed = joinGzip(deltaResponsePieces(content));
        recent.hold(message, compressed.length);
      }
      return compressed;
    },
  };
  return message;
}

/** Proxies that are sent the same come one after the other, while some have been sent it already. */
class RecentMessages {
  readonly #held: { readonly message: ResponseMessage; readonly size: number }[] = [];
  #size = 0;
  #isEnding = false;

  hold(message: ResponseMessage, size: number): void {
    this.#held.push({ message, size });
    this.#size += size;
    while (this.#size > maxRecentBytes) this.#size -= this.#held.shift()?.size ?? this.#size;
    if (this.#isEnding) return;
    this.#isEnding = true;
    setTimeout(() => this.#forget(), recentMs).unref();
  }

  #forget(): void {
    this.#held.length = 0;
    this.#size = 0;
    this.#isEnding = false;
  }
}

/** Compressed. */
const maxRecentBytes = 8 * 1024 * 1024;
const recentMs = 1000;
const recent = new RecentMessages();

function sizeOf({ resources }: DeltaResponseContent): number {
  return resources.reduce((sum, { any }) => sum + any.length, 0);
}

function isSame(a: DeltaResponseContent, b: DeltaResponseContent): boolean {
  return (
    a.typeUrl === b.typeUrl &&
    a.systemVersion === b.systemVersion &&
    areEqual(a.resources, b.resources) &&
    areEqual(a.removed, b.removed)
  );
}

function areEqual(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index]);
}
