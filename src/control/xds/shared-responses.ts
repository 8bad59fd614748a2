// Large responses that many streams are sent alike: made once, with a nonce that they share, and kept as long as some
// stream still has to send them.
import type { EncodedResource } from "../push/encoded-resource.ts";
import { type DeltaResponseContent, encodeDeltaResponse } from "./response-bytes.ts";

export interface MadeResponse {
  readonly nonce: string;
  readonly bytes: Buffer;
}

interface SharedResponse {
  readonly content: DeltaResponseContent;
  readonly bytes: WeakRef<Buffer>;
}

/** Smaller ones cost less than looking for them. */
const minBytes = 32 * 1024;

const byFirstResource = new WeakMap<EncodedResource, SharedResponse>();
let count = 0;

/** The nonce of the content is for a response that nobody shares. `lastNonce`: a stream never hears one twice in a row. */
export function deltaResponse(content: DeltaResponseContent, lastNonce: string): MadeResponse {
  const [first] = content.resources;
  if (first === undefined || sizeOf(content) < minBytes) return own(content);
  const known = byFirstResource.get(first);
  const bytes = known?.bytes.deref();
  if (known !== undefined && bytes !== undefined && isSame(known.content, content)) {
    return known.content.nonce === lastNonce ? own(content) : { nonce: known.content.nonce, bytes };
  }
  const shared = { ...content, nonce: `shared-${++count}` };
  const made = encodeDeltaResponse(shared);
  byFirstResource.set(first, { content: shared, bytes: new WeakRef(made) });
  return { nonce: shared.nonce, bytes: made };
}

function own(content: DeltaResponseContent): MadeResponse {
  return { nonce: content.nonce, bytes: encodeDeltaResponse(content) };
}

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
