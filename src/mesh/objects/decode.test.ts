import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { duration, integer, list, oneOf, optional, record, string, stringMap, text } from "./decode.ts";
import { formatDuration, parseDuration } from "./duration.ts";
import { joinPath, type PathSegment, parsePath, renderPath } from "./path.ts";
import type { Problem } from "./report.ts";
import { nearest } from "./suggest.ts";

interface Example {
  readonly name: string;
  readonly timeout?: number;
  readonly ports: readonly number[];
  readonly labels: Readonly<Record<string, string>>;
  readonly mode?: "A" | "B";
}

const decode = record<Example>({
  name: text,
  timeout: optional(duration),
  ports: list(integer(1, 65_535)),
  labels: stringMap,
  mode: optional(oneOf(["A", "B"])),
});

function read(value: unknown): { decoded: Example | undefined; problems: string[] } {
  const problems: Problem[] = [];
  const decoded = decode(value, undefined, (problem) => void problems.push(problem));
  return {
    decoded,
    problems: problems.map(({ path, message, fix }) => {
      const place = typeof path === "string" ? path : renderPath(path);
      return `${place}: ${message}${fix === undefined ? "" : ` (${fix})`}`;
    }),
  };
}

test("absent and null fields take their defaults or stay absent", () => {
  const { decoded, problems } = read({ labels: null, timeout: null });
  assert.deepEqual(decoded, { name: "", ports: [], labels: {} });
  assert.deepEqual(problems, []);
});

test("each wrong field is a problem of its own, with its path and the way out", () => {
  const { problems } = read({
    nane: "x",
    timeout: 3,
    ports: [80, "81", 70_000],
    labels: { version: 1, ready: true },
    mode: "a",
  });
  assert.deepEqual(problems, [
    "timeout: expected a duration, found the number 3 (3s)",
    'ports[1]: expected a whole number, found the string "81"',
    "ports[2]: 70000 is not between 1 and 65535",
    'labels.version: expected a string, found the number 1 (quote it: "1")',
    'labels.ready: expected a string, found the boolean true (quote it: "true")',
    'mode: "a" is not one of A, B (did you mean "A"?)',
    'nane: unknown field "nane" (did you mean "name"?)',
  ]);
});

test("a map cannot reach the prototype of its result", () => {
  const { decoded } = read({ labels: JSON.parse('{"__proto__":"x","a":"b"}') as unknown });
  assert.deepEqual(Object.keys(decoded?.labels ?? {}), ["a"]);
});

test("any JSON is read without an exception", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      read(value);
      return string(value, undefined, () => {}) === undefined || typeof value === "string";
    }),
  );
});

test("durations follow Go's syntax", () => {
  const cases: [string, number | undefined][] = [
    ["10s", 10_000],
    ["1h30m", 5_400_000],
    ["1.5s", 1500],
    [".5s", 500],
    ["250ms", 250],
    ["1us", 0.001],
    ["-1s", -1000],
    ["0", 0],
    ["0s", 0],
    ["10", undefined],
    ["s", undefined],
    ["1s ", undefined],
    ["", undefined],
    ["1d", undefined],
  ];
  for (const [written, expected] of cases) assert.equal(parseDuration(written), expected, written);
  for (const ms of [0, 250, 1500, 60_000, 3_600_000, 90_000]) assert.equal(parseDuration(formatDuration(ms)), ms);
});

test("a path reads back as the segments it was made of", () => {
  const segment = fc.oneof(fc.nat(1000), fc.string({ minLength: 1 }));
  fc.assert(
    fc.property(fc.array(segment), (segments: PathSegment[]) => {
      assert.deepEqual(parsePath(joinPath(segments)), segments);
    }),
  );
});

test("suggestions are near: a swap, a slip or a missing letter, not another word", () => {
  assert.equal(nearest("timout", ["timeout", "retries"]), "timeout");
  assert.equal(nearest("reveiws", ["reviews", "ratings"]), "reviews");
  assert.equal(nearest("hots", ["hosts", "http"]), "hosts");
  assert.equal(nearest("banana", ["hosts", "http"]), undefined);
  assert.equal(nearest("", ["a"]), "a");
});
