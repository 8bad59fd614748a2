// The cases of RFC 6902 appendix A, and what must be refused.

import assert from "node:assert/strict";
import { test } from "node:test";
import { applyJsonPatch } from "./json-patch.ts";

const cases: readonly [document: unknown, operations: unknown, result: unknown][] = [
  [{ foo: "bar" }, [{ op: "add", path: "/baz", value: "qux" }], { foo: "bar", baz: "qux" }],
  [{ foo: ["bar", "baz"] }, [{ op: "add", path: "/foo/1", value: "qux" }], { foo: ["bar", "qux", "baz"] }],
  [{ foo: ["bar"] }, [{ op: "add", path: "/foo/-", value: ["abc"] }], { foo: ["bar", ["abc"]] }],
  [{ baz: "qux", foo: "bar" }, [{ op: "remove", path: "/baz" }], { foo: "bar" }],
  [{ foo: ["bar", "qux", "baz"] }, [{ op: "remove", path: "/foo/1" }], { foo: ["bar", "baz"] }],
  [{ baz: "qux" }, [{ op: "replace", path: "/baz", value: "boo" }], { baz: "boo" }],
  [{ foo: ["a", "b"] }, [{ op: "replace", path: "/foo/0", value: "c" }], { foo: ["c", "b"] }],
  [
    { foo: { bar: "baz", waldo: "fred" }, qux: { corge: "grault" } },
    [{ op: "move", from: "/foo/waldo", path: "/qux/thud" }],
    { foo: { bar: "baz" }, qux: { corge: "grault", thud: "fred" } },
  ],
  [
    { foo: ["all", "grass", "cows", "eat"] },
    [{ op: "move", from: "/foo/1", path: "/foo/3" }],
    { foo: ["all", "cows", "eat", "grass"] },
  ],
  [{ "/": 9, "~1": 10 }, [{ op: "test", path: "/~01", value: 10 }], { "/": 9, "~1": 10 }],
  [{ a: { b: 1 } }, [{ op: "copy", from: "/a", path: "/c" }], { a: { b: 1 }, c: { b: 1 } }],
  [{ a: 1 }, [{ op: "replace", path: "", value: { b: 2 } }], { b: 2 }],
];

test("operations do what the RFC says", () => {
  for (const [document, operations, result] of cases) {
    assert.deepEqual(applyJsonPatch(document, operations), result, JSON.stringify(operations));
  }
});

test("the document that is patched is not changed", () => {
  const document = { list: [1, { a: 1 }] };
  applyJsonPatch(document, [{ op: "replace", path: "/list/1/a", value: 2 }]);
  assert.deepEqual(document, { list: [1, { a: 1 }] });
});

test("what cannot be applied is refused and says which operation it was", () => {
  const refused: readonly unknown[] = [
    [{ op: "add", path: "/baz/bat", value: "qux" }],
    [{ op: "remove", path: "/nope" }],
    [{ op: "test", path: "/foo", value: "other" }],
    [{ op: "add", path: "/list/01", value: 1 }],
    [{ op: "add", path: "/list/9", value: 1 }],
    [{ op: "swap", path: "/foo" }],
    [{ op: "add", path: "foo", value: 1 }],
  ];
  for (const operations of refused) {
    assert.throws(
      () => applyJsonPatch({ foo: "bar", list: [] }, operations),
      /operation 0/,
      JSON.stringify(operations),
    );
  }
  assert.throws(() => applyJsonPatch({}, {}), /array/);
});

test("a field that is called __proto__ is a field", () => {
  const result = applyJsonPatch({}, [{ op: "add", path: "/__proto__", value: { polluted: true } }]);
  assert.equal(Object.getPrototypeOf(result), Object.prototype);
  assert.deepEqual(Object.keys(result ?? {}), ["__proto__"]);
});
