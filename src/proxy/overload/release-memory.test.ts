import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { codeMappings } from "./release-memory.ts";

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

test("pages of Node's code that are not in use are given back, and come again when they are needed", { skip }, () => {
  const program = `
    import { readFileSync } from "node:fs";
    import { gunzipSync, gzipSync } from "node:zlib";
    import { memoryReleaser } from ${JSON.stringify(new URL("./release-memory.ts", import.meta.url).href)};
    const filePages = () => Number(/RssFile:\\s+(\\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]);
    const release = memoryReleaser();
    release();
    for (let i = 0; i < 3; i++) {
      const before = filePages();
      release();
      if (i === 2) console.log(before - filePages());
      if (gunzipSync(gzipSync("text")).toString() !== "text") throw new Error("not the text");
    }`;
  const freed = Number(execFileSync(process.execPath, ["--input-type=module", "-e", program], { encoding: "utf8" }));
  assert.ok(freed > 1000, `${freed} KiB went back`);
});

test("only what can be executed of the program itself counts as its code", () => {
  const maps = `00400000-00500000 r--p 00000000 fe:00 12 /usr/bin/node
00500000-00700000 r-xp 00100000 fe:00 12 /usr/bin/node
00700000-00710000 r--p 00300000 fe:00 12 /usr/bin/node
7f0000000000-7f0000001000 r-xp 00000000 00:00 0
7f0000002000-7f0000004000 r-xp 00000000 fe:00 13 /lib/libc.so.6
`;
  assert.deepEqual(codeMappings(maps, "/usr/bin/node"), [{ start: 0x500000, length: 0x200000 }]);
});
