import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { ManualClock } from "#base/time/clock.ts";
import { ContainerLog } from "./container-log.ts";
import { type LogStreamOptions, logStream } from "./log-stream.ts";

const plain: LogStreamOptions = { follow: false, timestamps: false };

async function read(log: ContainerLog, options: LogStreamOptions, now = 0): Promise<string> {
  return Buffer.concat(await logStream(log, options, now).toArray()).toString();
}

describe("a container's log", () => {
  it("makes lines of pieces, also of characters that were cut", async () => {
    const log = new ContainerLog(new ManualClock());
    const text = Buffer.from("grüße\nzweite");
    log.write("stdout", text.subarray(0, 3));
    log.write("stdout", text.subarray(3, 4));
    log.write("stdout", text.subarray(4));
    log.write("stderr", Buffer.from("andere\n"));
    log.end();
    assert.equal(await read(log, plain), "grüße\nandere\nzweite\n");
  });

  it("forgets the oldest lines before it grows without end", () => {
    const log = new ContainerLog(new ManualClock());
    for (let count = 0; count < 40; count++) log.write("stdout", Buffer.from(`${count}${"x".repeat(60_000)}\n`));
    assert.ok(log.lines.length < 20);
    assert.match(log.lines.at(-1)?.text ?? "", /^39x/);
    log.write("stdout", Buffer.alloc(100_000, 120));
    assert.ok(log.lines.length > 0);
  });

  it("writes the file in the form of Kubernetes' container logs", () => {
    const folder = mkdtempSync(join(tmpdir(), "outrigger-log-"));
    const path = join(folder, "a/b/0.log");
    const log = new ContainerLog(new ManualClock(1_000), path);
    log.write("stderr", Buffer.from("hello\n"));
    log.end();
    assert.equal(readFileSync(path, "utf8"), "1970-01-01T00:00:01.000Z stderr F hello\n");
    rmSync(folder, { recursive: true });
  });

  it("is read by tail, age, size and with times", async () => {
    const clock = new ManualClock();
    const log = new ContainerLog(clock);
    for (const text of ["a", "b", "c"]) {
      log.write("stdout", Buffer.from(`${text}\n`));
      clock.advance(10_000);
    }
    assert.equal(await read(log, { ...plain, tailLines: 2 }), "b\nc\n");
    assert.equal(await read(log, { ...plain, tailLines: 0 }), "");
    assert.equal(await read(log, { ...plain, sinceSeconds: 15 }, clock.now()), "c\n");
    assert.equal(await read(log, { ...plain, limitBytes: 3 }), "a\nb");
    assert.equal(await read(log, { ...plain, tailLines: 1, timestamps: true }), "1970-01-01T00:00:20.000Z c\n");
  });

  it("is followed until the container ends", async () => {
    const log = new ContainerLog(new ManualClock());
    log.write("stdout", Buffer.from("before\n"));
    const following = read(log, { ...plain, follow: true });
    log.write("stdout", Buffer.from("after\nrest"));
    log.end();
    assert.equal(await following, "before\nafter\nrest\n");
  });
});
