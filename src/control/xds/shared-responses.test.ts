import assert from "node:assert/strict";
import { test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { DeltaDiscoveryResponseSchema } from "#wire/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import { type EncodedResource, varint } from "../push/encoded-resource.ts";
import type { DeltaResponseContent } from "./response-bytes.ts";
import { deltaResponse } from "./shared-responses.ts";

function resource(name: string, size: number): EncodedResource {
  return { name, version: name, any: Buffer.concat([Buffer.of(0x12), varint(size), Buffer.alloc(size)]), origins: [] };
}

const large = resource("large", 65536);
const content = (nonce: string, resources = [large], removed: string[] = []): DeltaResponseContent => ({
  typeUrl: typeUrl.route,
  nonce,
  systemVersion: "1",
  resources,
  removed,
});

test("streams that are sent the same share one buffer, whose nonce says so", () => {
  const first = deltaResponse(content("1"), "");
  const second = deltaResponse(content("7"), "6");
  assert.equal(first.bytes, second.bytes);
  assert.equal(first.nonce, second.nonce);
  const read = fromBinary(DeltaDiscoveryResponseSchema, first.bytes);
  assert.deepEqual([read.nonce, read.resources.map(({ name }) => name)], [first.nonce, ["large"]]);
});

test("other content, a stream that had it last, and small responses have a nonce of their own", () => {
  const shared = deltaResponse(content("1"), "");
  assert.notEqual(deltaResponse(content("2", [large], ["gone"]), "").bytes, shared.bytes);
  const again = deltaResponse(content("3"), "");
  assert.equal(deltaResponse(content("4"), again.nonce).nonce, "4");
  assert.equal(deltaResponse(content("5", [resource("small", 10)]), "").nonce, "5");
});
