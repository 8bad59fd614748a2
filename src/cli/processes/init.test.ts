import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { packageRoot, run } from "../testing/run-cli.ts";

const flags = ["-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-b", "*", "-d", "15090"];

test("a dry run prints the rules and changes nothing, called through a symbolic link from elsewhere", () => {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-init-"));
  try {
    symlinkSync(join(packageRoot, "bin/outrigger"), join(folder, "linked"));
    const { status, stdout, stderr } = spawnSync(join(folder, "linked"), ["init", ...flags, "--dry-run"], {
      cwd: folder,
      encoding: "utf8",
    });
    assert.equal(status, 0, stderr);
    assert.match(stdout, /-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports? 15001/);
    assert.match(stdout, /-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports? 15006/);
    assert.match(stdout, /-A ISTIO_OUTPUT .*--uid-owner 1337 .*-j RETURN/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("flags that mean nothing are told, with code 1", async () => {
  const { code, stdout, stderr } = await run(["istio-iptables", "-p", "many"]);
  assert.equal(code, 1);
  assert.equal(stdout, "");
  assert.match(stderr, /many/);
});
