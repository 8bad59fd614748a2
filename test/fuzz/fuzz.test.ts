// Every fuzz target for a few seconds, about a minute in all, with a seed that stays: a failure comes again, and its
// message says how. `npm run fuzz` looks further, with seeds of its own.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fuzzTargets } from "./targets.ts";

const seed = 20_261_127;
const totalSeconds = 55;

for (const target of fuzzTargets) {
  test(`nothing that is sent breaks ${target.name}`, () => {
    const { runs, failure } = target.run({ seed, seconds: totalSeconds / fuzzTargets.length });
    assert.equal(failure, "");
    assert.ok(runs > 50, `${runs} inputs`);
  });
}
