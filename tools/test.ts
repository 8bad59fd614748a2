// `npm test`: checks the system, runs every test file with node:test and closes with one line that counts them:
// `N passed, N failed`. Unit tests run side by side; end-to-end tests run one after the other, because each starts a
// whole mesh. Arguments are name patterns of files: `npm test -- proxy/route`.
import { readdirSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { ensurePackages, testRequirements } from "../src/cli/system/packages.ts";

const root = join(import.meta.dirname, "..");

/** Nothing is reported for this long only when a file hangs: the slowest test takes a part of it. */
const silenceLimitMs = 300_000;

interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

function testFiles(folder: string, patterns: readonly string[]): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".test.ts"))
    .map((path) => join(root, folder, path))
    .filter((path) => patterns.length === 0 || patterns.some((pattern) => path.includes(pattern)))
    .sort();
}

async function runFiles(
  files: readonly string[],
  concurrency: number,
  timeoutMs: number,
  totals: Totals,
): Promise<void> {
  if (files.length === 0) return;
  const stream = run({
    files: [...files],
    concurrency,
    timeout: timeoutMs,
    execArgv: ["--disable-warning=ExperimentalWarning"],
  });
  stream.on("test:summary", (summary) => {
    if (summary.file !== undefined) return; // the closing summary of the run has no file
    const { tests, passed, skipped, todo } = summary.counts;
    totals.passed += passed;
    totals.failed += tests - passed - skipped - todo;
    totals.skipped += skipped + todo;
  });
  // A file whose failed test left a socket open never ends: the run says so instead of waiting for ever. (Node's
  // --test-force-exit would end the file, and lose results that it had not handed over yet.)
  const watchdog = setTimeout(() => {
    console.error(`no test has ended for ${silenceLimitMs / 60_000} minutes; what hangs has no line above`);
    console.log(`${totals.passed} passed, ${totals.failed + 1} failed, ${totals.skipped} skipped`);
    process.exit(1);
  }, silenceLimitMs);
  const report = stream.compose(spec);
  for await (const chunk of report) {
    process.stdout.write(String(chunk));
    watchdog.refresh();
  }
  clearTimeout(watchdog);
}

const missing = ensurePackages(testRequirements, {
  isRoot: process.getuid?.() === 0,
  path: process.env["PATH"] ?? "",
  say: (line) => console.error(line),
});
if (missing !== undefined) console.error(`${missing}\ntests that need them are skipped or fail`);
const patterns = process.argv.slice(2);
const totals: Totals = { passed: 0, failed: 0, skipped: 0 };
await runFiles(
  [...testFiles("src", patterns), ...testFiles("tools", patterns)],
  Math.max(2, cpus().length),
  120_000,
  totals,
);
await runFiles(testFiles("test", patterns), 1, 600_000, totals);
if (totals.passed + totals.failed === 0) {
  console.error("no test ran");
  process.exitCode = 1;
}
if (totals.failed > 0) process.exitCode = 1;
console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
