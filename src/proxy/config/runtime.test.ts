import assert from "node:assert/strict";
import { test } from "node:test";
import { Runtime } from "./runtime.ts";

const half = (key: string) => ({ fraction: 0.5, key });
const layer = (name: string, values: Record<string, string>) => ({ name, values: new Map(Object.entries(values)) });

test("a key of the runtime stands in place of the configured share, the last layer first", () => {
  const runtime = new Runtime([layer("base", { a: "10", b: "20" }), layer("more", { b: "30" })]);
  assert.equal(runtime.fraction(half("a")), 0.1);
  assert.equal(runtime.fraction(half("b")), 0.3);
  assert.equal(runtime.fraction(half("c")), 0.5);
  assert.equal(runtime.fraction(half("")), 0.5);
  runtime.modify([
    ["b", "0"],
    ["c", '{"numerator": 5, "denominator": "TEN_THOUSAND"}'],
  ]);
  assert.equal(runtime.fraction(half("b")), 0);
  assert.equal(runtime.fraction(half("c")), 0.0005);
  runtime.modify([["b", ""]]);
  assert.equal(runtime.fraction(half("b")), 0.3, "an empty value takes the override away");
});

test("a value that is no share leaves the configured one", () => {
  const runtime = new Runtime([layer("base", { a: "yes", b: "200", c: "{numerator: 7}" })]);
  assert.equal(runtime.fraction(half("a")), 0.5);
  assert.equal(runtime.fraction(half("b")), 1);
  assert.equal(runtime.fraction(half("c")), 0.07);
});
