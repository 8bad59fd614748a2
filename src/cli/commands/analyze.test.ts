import assert from "node:assert/strict";
import { test } from "node:test";
import { startMeshApi } from "../testing/mesh-api.ts";
import { type CliResult, run } from "../testing/run-cli.ts";

const files = `apiVersion: v1
kind: Service
metadata: {name: a}
spec: {ports: [{name: web, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v}
spec:
  hosts: [a]
  http:
  - route: [{destination: {host: a, subset: v9}}]
  - route: [{destination: {host: a}}]
`;

const analyze = (...flags: string[]): Promise<CliResult> => run(["analyze", "-", ...flags], { stdin: files });

test("files: codes, levels, origins and places are istioctl's, and errors exit with 79", async () => {
  const { code, stdout } = await analyze("-o", "json");
  assert.equal(code, 79);
  const messages = JSON.parse(stdout) as { code: string; level: string; origin: string; reference: string }[];
  assert.deepEqual(
    messages.map(({ code: issue, level, origin, reference }) => [issue, level, origin, reference]),
    [
      ["IST0118", "Info", "Service a.default", "stdin:4"],
      ["IST0101", "Error", "VirtualService v.default", "stdin:12"],
      ["IST0130", "Warning", "VirtualService v.default", "stdin:13"],
    ],
  );
  assert.match((await analyze()).stdout, /^Info \[IST0118\] \(Service a\.default stdin:4\) spec\.ports\[0\]: /);
});

test("thresholds, a namespace and suppressed codes", async () => {
  assert.doesNotMatch((await analyze("--output-threshold", "Warning")).stdout, /IST0118/);
  const suppressed = await analyze("-S", "IST0101=VirtualService v.default", "--suppress", "IST0118=*");
  assert.equal(suppressed.code, 0);
  assert.match(suppressed.stdout, /^Warning \[IST0130\].*\n$/);
  assert.equal((await analyze("-S", "IST0101=*", "--failure-threshold", "warning")).code, 79);
  assert.deepEqual(await analyze("-n", "other"), { code: 0, stdout: "✔ No validation issues found.\n", stderr: "" });
  assert.match((await analyze("--output-threshold", "bad")).stderr, /a threshold is Info, Warning, Error, not "bad"/);
});

test("without files the running mesh is asked", async (t) => {
  const mesh = await startMeshApi(["shop.default"]);
  t.after(() => mesh.stop());
  const { code, stdout } = await mesh.run("analyze");
  assert.deepEqual([code, stdout], [0, "✔ No validation issues found.\n"]);
});
