import assert from "node:assert/strict";
import { test } from "node:test";
import { nackText, Problems } from "./problems.ts";

test("a NACK says errors only, and what is wrong with many items of a list once", () => {
  const problems = new Problems("listener", "a");
  for (const i of [0, 1, 2]) problems.unsupported(`filter_chains[${i}]`, "the filter lua");
  problems.invalid("address", "is missing");
  problems.invalid("name", "is missing");
  problems.leftOut("tracing", "tracing");
  const text = nackText(problems.done(null).issues);
  assert.equal(
    text,
    "listener a: filter_chains[0] (and 2 more): the filter lua is not supported by this proxy; listener a: address: is missing; listener a: name: is missing",
  );
});
