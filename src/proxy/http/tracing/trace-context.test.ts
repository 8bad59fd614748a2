import assert from "node:assert/strict";
import { test } from "node:test";
import { Headers } from "#wire/http/headers.ts";
import { b3Context, w3cContext } from "./trace-context.ts";

function headers(values: Readonly<Record<string, string>>): Headers {
  const list = new Headers();
  for (const [name, value] of Object.entries(values)) list.add(name, value);
  return list;
}

const trace = "0af7651916cd43dd8448eb211c80319c";
const span = "b7ad6b7169203331";

const parents: readonly [value: string, sampled: boolean | "invalid"][] = [
  [`00-${trace}-${span}-01`, true],
  [`00-${trace}-${span}-00`, false],
  [`00-${trace}-${span}-03`, true],
  [`cc-${trace}-${span}-01-more`, true],
  [`00-${trace}-${span}-01-more`, "invalid"],
  [`ff-${trace}-${span}-01`, "invalid"],
  [`00-${"0".repeat(32)}-${span}-01`, "invalid"],
  [`00-${trace}-${"0".repeat(16)}-01`, "invalid"],
  [`00-${trace.toUpperCase()}-${span}-01`, "invalid"],
  [`00-${trace}-${span}`, "invalid"],
  ["", "invalid"],
  ["x".repeat(10_000), "invalid"],
];
for (const [value, sampled] of parents) {
  test(`traceparent ${value.slice(0, 70)} is ${sampled === "invalid" ? "not believed" : sampled ? "sampled" : "not sampled"}`, () => {
    const found = w3cContext(headers({ traceparent: value }));
    assert.deepEqual(
      found,
      sampled === "invalid" ? "invalid" : { traceId: trace, spanId: span, parentId: "", sampled },
    );
  });
}

const b3: readonly [what: string, values: Readonly<Record<string, string>>, expected: unknown][] = [
  ["nothing", {}, { context: null, sampled: null }],
  ["only a decision", { "x-b3-sampled": "1" }, { context: null, sampled: true }],
  ["debug", { "x-b3-flags": "1" }, { context: null, sampled: true }],
  ["the old word for a decision", { "x-b3-sampled": "true" }, { context: null, sampled: true }],
  [
    "several headers",
    { "x-b3-traceid": trace, "x-b3-spanid": span, "x-b3-parentspanid": span, "x-b3-sampled": "0" },
    { context: { traceId: trace, spanId: span, parentId: span, sampled: false }, sampled: false },
  ],
  [
    "a short trace without a decision",
    { "x-b3-traceid": span, "x-b3-spanid": span },
    { context: { traceId: span, spanId: span, parentId: "", sampled: null }, sampled: null },
  ],
  ["a broken span", { "x-b3-traceid": trace, "x-b3-spanid": "zz" }, { context: "invalid", sampled: null }],
  ["one header: a decision", { b3: "0" }, { context: null, sampled: false }],
  ["one header: debug", { b3: "d" }, { context: null, sampled: true }],
  [
    "one header: all",
    { b3: `${trace}-${span}-1-${span}` },
    { context: { traceId: trace, spanId: span, parentId: span, sampled: true }, sampled: true },
  ],
  ["one header: too much", { b3: `${trace}-${span}-1-${span}-x` }, { context: "invalid", sampled: true }],
  ["one header: broken", { b3: "nonsense" }, { context: "invalid", sampled: null }],
];
for (const [what, values, expected] of b3) {
  test(`B3, ${what}`, () => {
    assert.deepEqual(b3Context(headers(values)), expected);
  });
}
