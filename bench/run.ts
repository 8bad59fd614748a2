// `npm run bench -- NAME [--json] [--quick]`: runs one benchmark, or all, and prints medians and ratios.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { benchRequirements, ensurePackages } from "../src/cli/system/packages.ts";
import { renderReport } from "./harness/report.ts";
import type { BenchResult } from "./harness/result.ts";

const benchmarks: Readonly<Record<string, (quick: boolean) => Promise<BenchResult[]>>> = {
  "sidecar-pair": async (quick) => {
    const { sidecarPair } = await import("./sidecar-pair.ts");
    return sidecarPair(
      quick ? { connections: [32], seconds: 2, rounds: 1 } : { connections: [1, 8, 32, 128], seconds: 5, rounds: 3 },
    );
  },
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: "boolean", default: false }, quick: { type: "boolean", default: false } },
});
const problem = ensurePackages(benchRequirements, {
  isRoot: process.getuid?.() === 0,
  path: process.env["PATH"] ?? "",
  say: (line) => console.error(line),
});
const unknown = positionals.find((name) => benchmarks[name] === undefined);
if (problem !== undefined) {
  console.error(problem);
  process.exitCode = 1;
} else if (unknown !== undefined) {
  console.error(`unknown benchmark "${unknown}"; there are: ${Object.keys(benchmarks).join(", ")}`);
  process.exitCode = 2;
} else {
  const results: BenchResult[] = [];
  for (const name of positionals.length > 0 ? positionals : Object.keys(benchmarks)) {
    for (const result of (await benchmarks[name]?.(values.quick)) ?? []) {
      const { ours, peer, ratio, unit } = result;
      console.log(
        values.json
          ? JSON.stringify(result)
          : `${name} ${result.case}: ${ours} against ${peer} ${unit}, ratio ${ratio}`,
      );
      results.push(result);
    }
  }
  // Only a complete run is worth keeping.
  if (positionals.length === 0 && !values.quick) {
    writeFileSync(join(import.meta.dirname, "RESULTS.md"), renderReport(results, new Date()));
  }
}
