import assert from "node:assert/strict";
import { test } from "node:test";
import { withFlag } from "./response-flags.ts";

test("flags stand in Envoy's order, each once", () => {
  assert.equal(withFlag("", "UF"), "UF");
  assert.equal(withFlag("UF", ""), "UF");
  assert.equal(withFlag("URX", "UF"), "UF,URX");
  assert.equal(withFlag("UF,URX", "UH"), "UH,UF,URX");
  assert.equal(withFlag("UF,URX", "UF"), "UF,URX");
});
