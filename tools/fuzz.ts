// `npm run fuzz [-- target...] [--seconds N] [--seed S]`: runs fuzz targets for a long time, each with its share of it,
// and ends with the first failure and how to see it again. Without a seed every run looks at other inputs.
import { parseArgs } from "node:util";
import { fuzzTargets } from "../test/fuzz/targets.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: "string", default: "600" }, seed: { type: "string" } },
});
const targets = positionals.length === 0 ? fuzzTargets : fuzzTargets.filter(({ name }) => positionals.includes(name));
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
const seconds = Number(values.seconds) / targets.length;
if (targets.length < positionals.length || !Number.isSafeInteger(seed) || !(seconds > 0)) {
  console.error(`usage: npm run fuzz [-- target...] [--seconds N] [--seed S]`);
  console.error(`targets: ${fuzzTargets.map(({ name }) => name).join(" ")}`);
  process.exit(2);
}
for (const target of targets) {
  const { runs, failure } = target.run({ seed, seconds });
  if (failure === "") {
    console.log(`${target.name}: ${runs} inputs, seed ${seed}`);
  } else {
    console.error(`${target.name}: failed after ${runs} inputs\n${failure}`);
    process.exitCode = 1;
    break;
  }
}
