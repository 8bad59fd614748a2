// After the end of a mesh, however it comes, the host is as it was.
import assert from "node:assert/strict";
import { test } from "node:test";
import { hostTraces, processesWith } from "../support/host.ts";
import { eventually, TestMesh } from "../support/mesh.ts";

for (const signal of ["SIGINT", "SIGKILL"] as const) {
  test(`after ${signal} no namespace, rule, mount, link or process is left`, { timeout: 300_000 }, async () => {
    const before = hostTraces();
    const mesh = await TestMesh.start({ copy: ["test/fixtures/echo"] });
    assert.ok(processesWith(mesh.folder).length > 3);
    await mesh.stop(signal);
    await eventually("every process to be gone", () => (processesWith(mesh.folder).length === 0 ? true : undefined));
    assert.deepEqual(hostTraces(), before);
  });
}

test("a mesh starts over the remains of one that was killed", { timeout: 300_000 }, async () => {
  const killed = await TestMesh.start({ copy: ["test/fixtures/echo"] });
  await killed.stop("SIGKILL", true);
  const mesh = await TestMesh.start({ copy: ["test/fixtures/echo"], folder: killed.folder });
  const echo = await mesh.exec("shell.outside", "shell", "curl", "-sS", "http://echo.default:8000/again");
  assert.match(echo.stdout, /"path":"\/again"/);
  await mesh.stop();
});

test("a second mesh with the same state directory is refused with a sentence; with --no-egress nothing outside is reached", {
  timeout: 300_000,
}, async () => {
  const mesh = await TestMesh.start({ copy: ["test/fixtures/echo"] });
  // Tests run with --no-egress: what is outside fails at once, and the machine has no name.
  const [outside, name] = await Promise.all([
    mesh.exec("shell.outside", "shell", "curl", "-sS", "-m", "5", "http://203.0.113.10:8000/"),
    mesh.exec("shell.outside", "shell", "getent", "hosts", "host.outrigger.internal"),
  ]);
  assert.deepEqual([outside.code, name.code], [7, 2], outside.stderr);
  const second = await mesh.run("up", "-f", "config", "--gateway-port", "0");
  assert.equal(second.code, 1);
  assert.match(second.stderr, /runs already \(process \d+\); stop it with: outrigger down/);
  const stopped = await mesh.run("down");
  assert.equal(stopped.code, 0);
  await mesh.stop();
});
