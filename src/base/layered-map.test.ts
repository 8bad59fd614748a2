import assert from "node:assert/strict";
import { test } from "node:test";
import { LayeredMap, layered, layersOf } from "./layered-map.ts";

test("layers read as one map, and of equal names the shared one stays", () => {
  const shared = new Map([["a", 1]]);
  const both = layered(
    shared,
    new Map([
      ["a", 9],
      ["b", 2],
    ]),
  );
  assert.deepEqual([...both], [...new Map([...shared, ["b", 2]])]);
  assert.deepEqual([both.size, both.get("a"), both.get("b"), both.has("b"), both.get("c")], [2, 1, 2, true, undefined]);
  assert.deepEqual(
    [[...both.keys()], [...both.values()]],
    [
      ["a", "b"],
      [1, 2],
    ],
  );
  assert.ok(both instanceof LayeredMap);
  assert.equal(layersOf(both)[0], shared);
});

test("a map to which nothing is added stays the same object", () => {
  const shared = new Map([["a", 1]]);
  assert.equal(layered(shared, new Map([["a", 2]])), shared);
  assert.deepEqual(layersOf(shared), [shared]);
});
