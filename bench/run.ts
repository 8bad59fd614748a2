// `npm run bench -- [NAME...] [--json] [--quick]`: builds the bundle, runs the benchmarks, prints medians and ratios, and
// rewrites their sections of RESULTS.md. With --json it prints one figure a line and leaves the page alone.
// `push` takes `--proxies 1000,5000` and `--churn SECONDS`.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { benchRequirements, ensurePackages } from "../src/cli/system/packages.ts";
import type { Benchmark, RunOptions } from "./harness/benchmark.ts";
import { renderSection, updateReport } from "./harness/report.ts";

const benchmarks: Readonly<Record<string, () => Promise<Benchmark>>> = {
  "sidecar-pair": async () => (await import("./sidecar-pair.ts")).sidecarPair,
  "http2-codec": async () => (await import("./http2-codec.ts")).http2Codec,
  rbac: async () => (await import("./rbac.ts")).rbac,
  "load-balancer": async () => (await import("./load-balancer.ts")).loadBalancer,
  grpc: async () => (await import("./grpc.ts")).grpc,
  hop: async () => (await import("./hop.ts")).hop,
  tcp: async () => (await import("./tcp.ts")).tcp,
  connections: async () => (await import("./connections.ts")).connections,
  latency: async () => (await import("./latency.ts")).latency,
  idle: async () => (await import("./idle.ts")).idle,
  memory: async () => (await import("./memory.ts")).memory,
  workers: async () => (await import("./workers.ts")).workers,
  decide: async () => (await import("./decide.ts")).decide,
  push: async () => (await import("./push.ts")).push,
  ca: async () => (await import("./ca.ts")).ca,
  "cold-start": async () => (await import("./cold-start.ts")).coldStart,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
    proxies: { type: "string" },
    churn: { type: "string" },
  },
});
const runOptions: RunOptions = {
  ...(values.proxies !== undefined && { proxies: values.proxies.split(",").map(Number) }),
  ...(values.churn !== undefined && { churnSeconds: Number(values.churn) }),
};
const isCount = (value: number): boolean => Number.isInteger(value) && value > 0;
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
} else if (![...(runOptions.proxies ?? []), runOptions.churnSeconds ?? 1].every(isCount)) {
  console.error("--proxies takes whole numbers with commas between them, --churn takes whole seconds");
  process.exitCode = 2;
} else {
  await runAll(positionals.length > 0 ? positionals : Object.keys(benchmarks));
}

async function runAll(names: readonly string[]): Promise<void> {
  execFileSync(process.execPath, [join(import.meta.dirname, "../tools/build.ts")], { stdio: "inherit" });
  const report = join(import.meta.dirname, "RESULTS.md");
  for (const name of names) {
    const benchmark = await benchmarks[name]!();
    const figures = await benchmark.run(values.quick, runOptions);
    for (const one of figures) {
      console.log(
        values.json
          ? JSON.stringify(one)
          : `${name} ${one.case}: ${one.ours} against ${one.peer} of ${one.against}, ${one.unit}, ratio ${one.ratio}`,
      );
    }
    if (values.json || values.quick) continue;
    const page = existsSync(report) ? readFileSync(report, "utf8") : "";
    const section = renderSection(name, benchmark.notes, figures, new Date());
    writeFileSync(report, updateReport(page, Object.keys(benchmarks), new Map([[name, section]])));
  }
}
