import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
const skip = header.glibcVersionRuntime === undefined && "the C library has no malloc_trim";

test("memory that was freed goes back to the system", { skip }, () => {
  // A process of its own: what others allocate here would be in the figure.
  const program = `
    import { memoryReleaser } from ${JSON.stringify(new URL("./release-memory.ts", import.meta.url).href)};
    let kept = [];
    for (let i = 0; i < 60_000; i++) kept.push(new Uint8Array(1000).fill(1));
    // Every hundredth stays, so that the freed memory is full of holes.
    kept = kept.filter((_, i) => i % 100 === 0);
    globalThis.kept = kept;
    const before = process.memoryUsage.rss();
    memoryReleaser()();
    console.log(before - process.memoryUsage.rss());`;
  const freed = Number(execFileSync(process.execPath, ["--input-type=module", "-e", program], { encoding: "utf8" }));
  assert.ok(freed > 30e6, `${freed} bytes went back`);
});
