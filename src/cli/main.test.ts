import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { packageRoot, run } from "./testing/run-cli.ts";

test("without a command the help is shown, with every command", async () => {
  const { code, stdout } = await run([]);
  assert.equal(code, 0);
  for (const command of ["up", "status", "proxy-config|pc", "explain", "validate", "kube-inject", "version"]) {
    assert.ok(stdout.includes(`  ${command} `), command);
  }
  assert.deepEqual(await run(["--help"]), { code: 0, stdout, stderr: "" });
});

test("an unknown command, flag or argument ends with code 1 and says which", async () => {
  const cases: [string[], RegExp][] = [
    [["frobnicate"], /^error: unknown command 'frobnicate'/],
    [["verison"], /Did you mean version\?/],
    [["version", "--nonsense"], /^error: unknown option '--nonsense'/],
    [["version", "extra"], /^error: too many arguments/],
    [["logs"], /^error: missing required argument 'pod'/],
    [["kube-inject"], /^error: required option '-f, --filename <file>' not specified/],
  ];
  for (const [argv, message] of cases) {
    const { code, stdout, stderr } = await run(argv);
    assert.equal(code, 1, argv.join(" "));
    assert.equal(stdout, "");
    assert.match(stderr, message);
    assert.match(stderr, /\(add --help for the flags\)/);
  }
});

test("commands that need a mesh say in one sentence that none runs", async () => {
  const commands = [
    ["status"],
    ["logs", "productpage-v1"],
    ["exec", "productpage-v1", "--", "ls"],
    ["proxy-status"],
    ["proxy-config", "clusters", "productpage-v1"],
    ["explain", "GET", "http://reviews:9080/", "--from", "productpage"],
  ];
  for (const argv of commands) {
    const { code, stdout, stderr } = await run(argv);
    assert.equal(code, 1, argv.join(" "));
    assert.equal(stdout, "");
    assert.equal(
      stderr,
      "outrigger: no mesh runs here (looked for /proc/no-mesh/api.sock); start one with: outrigger up -f DIRECTORY\n",
    );
  }
});

test("down without a mesh is no mistake", async () => {
  assert.deepEqual(await run(["down"]), { code: 0, stdout: "no mesh runs here\n", stderr: "" });
});

test("version tells its own, Istio's and Node's", async () => {
  const manifest = JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")) as { version: string };
  const json = JSON.parse((await run(["version", "-o", "json"])).stdout);
  assert.deepEqual(json, { outrigger: manifest.version, istio: "1.31.0", node: process.versions.node });
  assert.match(
    (await run(["version"])).stdout,
    new RegExp(`^outrigger ${manifest.version}\nIstio API 1\\.31\\.0\nNode`),
  );
  assert.equal((await run(["version", "--short"])).stdout, `${manifest.version}\n`);
  const unknown = await run(["version", "-o", "xml"]);
  assert.deepEqual(
    [unknown.code, unknown.stderr],
    [1, 'outrigger: unknown output format "xml"; use one of table, json, yaml\n'],
  );
});

test("up wants a gateway address that exists", async () => {
  const { code, stderr } = await run(["up", "--gateway-port", "localhost:"]);
  assert.equal(code, 1);
  assert.match(stderr, /^error: .*"localhost:" is not a port from 0 to 65535/);
});

test("what a command prints goes through a pipe as a whole", async () => {
  const objects = Array.from(
    { length: 3000 },
    (_, index) =>
      `{ apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: { name: v${index} }, spec: { hosts: [] } }`,
  );
  const program = [process.execPath, join(packageRoot, "bin/outrigger.ts"), "validate", "-o", "json", "-f", "-"];
  // A pipe holds 64 KiB: the rest goes out later, when the command is done.
  const child = spawn("sh", ["-c", '"$@" | cat', "sh", ...program]);
  child.stdin.end(objects.join("\n---\n"));
  const printed = Buffer.concat(await Array.fromAsync(child.stdout)).toString();
  assert.ok(printed.length > 500_000, `${printed.length} bytes`);
  assert.equal((JSON.parse(printed) as unknown[]).length, 3000);
});
