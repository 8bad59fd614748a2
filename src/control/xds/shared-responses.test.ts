import assert from "node:assert/strict";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { create, fromBinary } from "@bufbuild/protobuf";
import { VirtualHostSchema } from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import { RouteConfigurationSchema } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import { DeltaDiscoveryResponseSchema } from "#wire/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import { type EncodedResource, ResourceEncoder, varint } from "../push/encoded-resource.ts";
import type { DeltaResponseContent } from "./response-bytes.ts";
import { deltaResponse } from "./shared-responses.ts";

function resource(name: string, size: number): EncodedResource {
  const head = Buffer.concat([Buffer.of(0x12), varint(size), Buffer.alloc(size, name)]);
  return { name, version: name, any: { head, length: head.length, pieces: [] }, origins: [] };
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
  assert.equal(first.message, second.message);
  assert.equal(first.nonce, second.nonce);
  const read = fromBinary(DeltaDiscoveryResponseSchema, first.message.bytes());
  assert.deepEqual([read.nonce, read.resources.map(({ name }) => name)], [first.nonce, ["large"]]);
});

test("other content, a stream that had it last, and small responses have a nonce of their own", () => {
  const shared = deltaResponse(content("1"), "");
  assert.notEqual(deltaResponse(content("2", [large], ["gone"]), "").message, shared.message);
  const again = deltaResponse(content("3"), "");
  assert.equal(deltaResponse(content("4"), again.nonce).nonce, "4");
  assert.equal(deltaResponse(content("5", [resource("small", 10)]), "").nonce, "5");
});

test("what is compressed is the same response, whatever its resources consist of", () => {
  const hosts = Array.from({ length: 200 }, (_, index) =>
    create(VirtualHostSchema, { name: `h-${index}.ns-${index % 7}`, domains: [`h-${index}.ns`, `h-${index}`] }),
  );
  const routes = create(RouteConfigurationSchema, { name: "80", virtualHosts: hosts });
  const encoded = new ResourceEncoder().encode(typeUrl.route, RouteConfigurationSchema, "80", routes);
  const many = Array.from({ length: 300 }, (_, index) => resource(`cluster-${index}`, 900));
  const { message } = deltaResponse(content("1", [...many, encoded, large, ...many.slice(0, 5)], ["gone", "too"]), "");
  const compressed = message.compressed() ?? Buffer.alloc(0);
  assert.deepEqual(gunzipSync(compressed), message.bytes());
  assert.ok(compressed.length < message.bytes().length / 4);
  const read = fromBinary(DeltaDiscoveryResponseSchema, message.bytes());
  assert.equal(read.resources.length, 307);
  const value = read.resources[300]?.resource?.value ?? Buffer.alloc(0);
  assert.equal(fromBinary(RouteConfigurationSchema, value).virtualHosts.length, 200);
});

test("a small response is not compressed, and neither are secrets", () => {
  const secrets = { ...content("1"), typeUrl: typeUrl.secret };
  assert.equal(deltaResponse(secrets, "").message.compressed(), undefined);
  assert.equal(deltaResponse(content("1", [resource("small", 2000)]), "").message.compressed(), undefined);
});
