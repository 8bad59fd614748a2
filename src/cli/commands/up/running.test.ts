import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { claimStateDirectory, runningPid } from "./running.ts";

test("a state directory is claimed, and one's own claim is no other mesh", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-claim-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = claimStateDirectory(join(folder, "state"));
  assert.ok(existsSync(file));
  assert.equal(runningPid(join(folder, "state")), undefined);
});

test("a claim of a process that has ended, or of some other program, means nothing", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-claim-"));
  t.after(() => rmSync(folder, { recursive: true }));
  for (const pid of ["4194304", "1", "no number", "-5"]) {
    writeFileSync(join(folder, "up.pid"), pid);
    assert.equal(runningPid(folder), undefined, pid);
  }
});

test("a state directory that cannot be made ends with a sentence", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-claim-"));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "file"), "");
  assert.throws(
    () => claimStateDirectory(join(folder, "file/state")),
    /cannot be used: .*; choose another with --state-dir/,
  );
});
