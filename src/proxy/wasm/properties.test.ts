import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary } from "@bufbuild/protobuf";
import { NodeSchema } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import { decodePairs } from "./pairs.ts";
import { encodeProperty, type PropertyValue, propertyAt, propertyFromJson, propertyFromMessage } from "./properties.ts";

function encoded(value: PropertyValue | undefined): string | null {
  assert.ok(value !== undefined);
  return encodeProperty(value)?.toString("hex") ?? null;
}

test("values have Envoy's serialized form", () => {
  assert.equal(encoded("text"), "74657874");
  assert.equal(encoded(7n), "0700000000000000");
  assert.equal(encoded(-1n), "ffffffffffffffff");
  assert.equal(encoded(0.5), "000000000000e03f");
  assert.equal(encoded(true), "01");
  assert.equal(encoded(false), "00");
  assert.equal(encoded(Uint8Array.of(1, 2)), "0102");
  assert.deepEqual(decodePairs(encodeProperty(["a", "b"])!), [
    ["a", ""],
    ["b", ""],
  ]);
  assert.deepEqual(decodePairs(encodeProperty(propertyFromJson({ a: "1", b: { c: true } })!)!)?.[0], ["a", "1"]);
});

test("a path goes through maps, lists and messages, and ends where there is nothing", () => {
  const node = propertyFromMessage(
    NodeSchema,
    create(NodeSchema, {
      id: "sidecar~1",
      metadata: { LABELS: { app: "reviews" }, PORTS: [80, "x"], NONE: null },
      locality: { region: "eu" },
    }),
  );
  assert.equal(propertyAt(node, ["id"]), "sidecar~1");
  assert.equal(propertyAt(node, ["locality", "region"]), "eu");
  assert.equal(propertyAt(node, ["metadata", "LABELS", "app"]), "reviews");
  assert.equal(propertyAt(node, ["metadata", "PORTS", "0"]), 80);
  assert.equal(propertyAt(node, ["metadata", "PORTS", "2"]), undefined);
  assert.equal(propertyAt(node, ["metadata", "PORTS", "x"]), undefined);
  assert.equal(propertyAt(node, ["metadata", "NONE"]), undefined);
  assert.equal(propertyAt(node, ["metadata", "constructor"]), undefined);
  assert.equal(propertyAt(node, ["nothing"]), undefined);
  assert.equal(propertyAt(node, ["id", "deeper"]), undefined);
  const whole = fromBinary(NodeSchema, encodeProperty(node)!);
  assert.equal(whole.id, "sidecar~1");
});
