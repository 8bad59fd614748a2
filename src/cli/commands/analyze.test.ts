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

/** Two pods with sidecars. */
const workload = `apiVersion: v1
kind: Namespace
metadata: {name: default, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {selector: {app: a}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  replicas: 2
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}}
    spec: {containers: [{name: a, image: a}]}
---
`;

test("files: a patch of an EnvoyFilter that finds nothing to change is told with its line, also by validate", async () => {
  const patched = `${workload}apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: f}
spec:
  configPatches:
  - applyTo: CLUSTER
    match: {cluster: {service: a.default.svc.cluster.local}}
    patch: {operation: MERGE, value: {connect_timeout: 3s}}
  - applyTo: CLUSTER
    match: {cluster: {service: a.default.svc}}
    patch: {operation: MERGE, value: {connect_timeout: 3s}}
  - applyTo: CLUSTER
    match: {context: GATEWAY, cluster: {service: b.default.svc}}
    patch: {operation: MERGE, value: {connect_timeout: 3s}}
`;
  const { code, stdout } = await run(["analyze", "-"], { stdin: patched });
  assert.equal(code, 0);
  assert.match(
    stdout,
    /^Warning \[OUT0021\] \(EnvoyFilter f\.default stdin:28\) spec\.configPatches\[1\]: CLUSTER MERGE finds nothing .* the 2 proxies .*\n$/,
  );
  const validated = await run(["validate", "-f", "-"], { stdin: patched });
  assert.match(validated.stdout, /^stdin:28:5 warning OUT0021 spec\.configPatches\[1\]: /m);
});

test("files: what our proxy refuses of an EnvoyFilter is told once, with its place", async () => {
  const script = `${workload}apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: script}
spec:
  configPatches:
  - applyTo: HTTP_FILTER
    match: {context: SIDECAR_INBOUND}
    patch:
      operation: INSERT_FIRST
      value:
        name: envoy.filters.http.lua
        typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua, inlineCode: ""}
`;
  const { code, stdout } = await run(["analyze", "-"], { stdin: script });
  assert.equal(code, 0);
  assert.match(
    stdout,
    /^Warning \[OUT0702\] \(EnvoyFilter script\.default stdin:\d+\) the proxy refuses listener virtualInbound, .*Lua scripts.*\n$/,
  );
});
