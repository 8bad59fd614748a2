import assert from "node:assert/strict";
import { dirname } from "node:path";
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

test("-A, -R and -n: every namespace, or the objects of one and the namespace itself", async () => {
  const both = `${files}---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n`;
  const codes = async (...flags: string[]): Promise<string[]> => {
    const { stdout } = await run(["analyze", "-", "-o", "json", ...flags], { stdin: both });
    return (JSON.parse(stdout) as { code: string }[]).map(({ code }) => code).sort();
  };
  assert.deepEqual(await codes("-n", "shop"), ["IST0102"]);
  assert.deepEqual(await codes("-n", "default"), ["IST0101", "IST0118", "IST0130"]);
  assert.deepEqual(await codes("-n", "shop", "-A", "-R"), await codes());
});

test("-L lists the analyzers, and looks at nothing", async () => {
  const { code, stdout } = await run(["analyze", "-L"]);
  assert.equal(code, 0);
  assert.match(stdout, /^\* annotations\.K8sAnalyzer:\n {4}annotations/);
});

test("--color colours levels; without a terminal nothing is coloured unless it is asked for", async () => {
  assert.ok((await analyze("--color")).stdout.startsWith("\u001b[34mInfo\u001b[0m [IST0118]"));
  assert.match((await analyze("--color=false")).stdout, /^Info \[IST0118\]/);
  assert.match((await analyze("--color=maybe")).stderr, /--color is true or false, not "maybe"/);
});

test("files are laid on the mesh that runs here, unless --use-kube=false", async (t) => {
  const mesh = await startMeshApi(["shop.default"]);
  t.after(() => mesh.stop());
  const sidecar = `apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: s}
spec: {workloadSelector: {labels: {app: shap}}, egress: [{hosts: ['*/*']}]}
`;
  const env = { OUTRIGGER_STATE_DIR: dirname(mesh.cluster.socketPath) };
  const ask = async (...flags: string[]): Promise<string> =>
    (await run(["analyze", "-", ...flags], { stdin: sidecar, env })).stdout;
  // Of the files alone nobody can say whether there are such pods.
  assert.equal(await ask("--use-kube=false"), "✔ No validation issues found.\n");
  assert.match(await ask(), /^Warning \[IST0101\] \(Sidecar s\.default stdin:4\) .*app=shap\n$/);
  assert.equal(await ask("-k"), await ask());
  const none = await run(["analyze", "-", "-k"], { stdin: sidecar });
  assert.match(none.stderr, /no mesh runs here/);
});
