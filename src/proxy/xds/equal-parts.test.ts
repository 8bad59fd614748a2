import assert from "node:assert/strict";
import { test } from "node:test";
import { clusterConfig } from "../config/testing/resources.ts";
import { EqualParts } from "./equal-parts.ts";

test("equal parts of several values become one object, others stay apart", () => {
  const parts = new EqualParts();
  const test = (): boolean => true;
  const first = parts.share({ name: "a", list: [], deep: { x: [1, "1"], test }, map: new Map([["k", 1]]) });
  const second = parts.share({ name: "b", list: [], deep: { x: [1, "1"], test }, map: new Map([["k", 1]]) });
  const third = parts.share({ name: "c", list: [], deep: { x: ["1", 1], test }, map: new Map() });
  assert.notEqual(first, second);
  assert.equal(first.list, second.list);
  assert.equal(first.deep, second.deep);
  assert.notEqual(first.deep, third.deep);
  assert.notEqual(first.map, second.map, "only plain data");
  assert.deepEqual(third.deep.x, ["1", 1]);
});

test("what looks alike in text is told apart", () => {
  const parts = new EqualParts();
  const values = [
    [1],
    ["1"],
    [null],
    ["null"],
    [undefined],
    [true],
    ["#0"],
    [[]],
    [{}],
    ["a,b"],
    ["a", "b"],
    [-0],
    [0n],
  ];
  const shared = values.map((value) => parts.share(value as unknown[]));
  for (const [i, value] of shared.entries()) {
    const same = shared.filter((it) => it === value);
    assert.equal(same.length, 1, `${i} is itself`);
  }
});

test("clusters of one batch share what is equal and stay what they were", () => {
  const yaml = (name: string): string =>
    `{ name: ${name}, type: STATIC, circuit_breakers: { thresholds: [{ max_requests: 7 }] }, load_assignment: { cluster_name: ${name} } }`;
  const parts = new EqualParts();
  const [a, b] = [parts.share(clusterConfig(yaml("a"))), parts.share(clusterConfig(yaml("b")))];
  assert.equal(a.circuitBreakers, b.circuitBreakers);
  assert.equal(a.loadBalancing, b.loadBalancing);
  assert.equal(a.transports, b.transports);
  assert.deepEqual([a.name, b.name], ["a", "b"]);
  assert.deepEqual({ ...b, name: "a", observabilityName: "a", endpoints: null }, { ...a, endpoints: null });
});
