import assert from "node:assert/strict";
import { test } from "node:test";
import { UsageError } from "../context.ts";
import { parseOutputFormat, renderOutput } from "./output.ts";

test("istioctl's and kubectl's words for the table are the table", () => {
  assert.deepEqual(["table", "short", "summary", "wide"].map(parseOutputFormat), Array(4).fill("table"));
  assert.deepEqual(["json", "yaml"].map(parseOutputFormat), ["json", "yaml"]);
  assert.throws(
    () => parseOutputFormat("xml"),
    new UsageError('unknown output format "xml"; use one of table, json, yaml'),
  );
});

test("a value is written in the format that was asked for, and the table only then made", () => {
  const never = (): string => assert.fail("no table was asked for");
  assert.equal(renderOutput("json", { a: [1] }, never), '{\n  "a": [\n    1\n  ]\n}\n');
  assert.equal(
    renderOutput("yaml", { a: [1], long: "x ".repeat(60).trim() }, never),
    `a:\n  - 1\nlong: ${"x ".repeat(60).trim()}\n`,
  );
  assert.equal(
    renderOutput("table", {}, () => "T\n"),
    "T\n",
  );
});
