import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { run } from "../testing/run-cli.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-validate-"));
after(() => rmSync(folder, { recursive: true }));

const service = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}\n";
const broken = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bad}
spec:
  hosts: [a]
  http:
  - route: [{destination: {host: a}, weight: -1}]
`;

test("files that are right end with code 0 and a count", async () => {
  assert.deepEqual(await run(["validate", "-f", "-"], { stdin: service }), {
    code: 0,
    stdout: "1 objects, 0 issues\n",
    stderr: "",
  });
});

test("what is wrong is told with file, line and column, and the code is 1", async () => {
  mkdirSync(join(folder, "deep"));
  writeFileSync(join(folder, "deep/bad.yaml"), broken);
  writeFileSync(join(folder, "a.yaml"), service);
  const { code, stdout } = await run(["validate", "-f", "."], { cwd: folder });
  assert.equal(code, 1);
  assert.match(stdout, /deep\/bad\.yaml:7:\d+/);
  assert.match(stdout, /\n2 objects, \d+ issues\n$/);
  const json = JSON.parse((await run(["validate", "-f", "deep/bad.yaml", "-o", "json"], { cwd: folder })).stdout);
  assert.equal(json[0].severity, "error");
  assert.equal(json[0].position.line, 7);
});

test("without files, or with one that is not there, there is one sentence", async () => {
  const none = await run(["validate"]);
  assert.deepEqual([none.code, none.stderr], [1, "outrigger: name a file or directory with -f\n"]);
  const missing = await run(["validate", "-f", "nowhere.yaml"]);
  assert.deepEqual([missing.code, missing.stderr], [1, "outrigger: nowhere.yaml: no such file or directory\n"]);
});
