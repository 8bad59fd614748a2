// Writes discovery responses around resources that are bytes already: one copy per response, no encoding.
// Field numbers are those of envoy/service/discovery/v3/discovery.proto.
import { type EncodedResource, varint } from "../push/encoded-resource.ts";

const lengthDelimited = 2;

export interface DeltaResponseContent {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly systemVersion: string;
  readonly resources: readonly EncodedResource[];
  readonly removed: readonly string[];
}

export function encodeDeltaResponse(content: DeltaResponseContent): Buffer {
  const parts: Buffer[] = [];
  pushText(parts, 1, content.systemVersion);
  for (const resource of content.resources) {
    const inner: Buffer[] = [];
    pushText(inner, 1, resource.version);
    pushBytes(inner, 2, resource.any);
    pushText(inner, 3, resource.name);
    const length = inner.reduce((sum, part) => sum + part.length, 0);
    parts.push(tag(2), varint(length), ...inner);
  }
  pushText(parts, 4, content.typeUrl);
  pushText(parts, 5, content.nonce);
  for (const name of content.removed) pushText(parts, 6, name);
  return Buffer.concat(parts);
}

export interface FullResponseContent {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly version: string;
  readonly resources: readonly EncodedResource[];
}

export function encodeFullResponse(content: FullResponseContent): Buffer {
  const parts: Buffer[] = [];
  pushText(parts, 1, content.version);
  for (const resource of content.resources) pushBytes(parts, 2, resource.any);
  pushText(parts, 4, content.typeUrl);
  pushText(parts, 5, content.nonce);
  return Buffer.concat(parts);
}

function tag(field: number): Buffer {
  return varint((field << 3) | lengthDelimited);
}

function pushBytes(parts: Buffer[], field: number, bytes: Buffer): void {
  parts.push(tag(field), varint(bytes.length), bytes);
}

function pushText(parts: Buffer[], field: number, text: string): void {
  if (text !== "") pushBytes(parts, field, Buffer.from(text, "utf8"));
}
