import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { validationCases, validationFiles, withoutTestdata } from "#mesh/snapshot/testing/validation-cases.ts";
import { run } from "../testing/run-cli.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-validate-"));
after(() => rmSync(folder, { recursive: true }));

interface FoundIssue {
  readonly code: string;
  readonly severity: string;
  readonly file?: string;
  readonly line?: number;
  readonly column?: number;
  readonly path?: string;
  readonly message: string;
  readonly fix?: string;
}

async function validate(yaml: string): Promise<{ code: number; issues: FoundIssue[] }> {
  const { code, stdout } = await run(["validate", "-f", "-", "-o", "json"], { stdin: yaml });
  return { code, issues: JSON.parse(stdout) as FoundIssue[] };
}

const service = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}\n";
const broken = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bad}
spec:
  hosts: [a]
  http:
  - route: [{destination: {host: a}, weight: -1}]
`;
const virtualService = (spec: string): string =>
  `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v}\nspec: ${spec}\n`;

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
  const { code: _, message, ...rest } = json[0];
  assert.match(message, /weight/);
  assert.deepEqual(rest, {
    severity: "error",
    object: { kind: "VirtualService", namespace: "default", name: "bad" },
    file: "deep/bad.yaml",
    line: 7,
    column: 38,
    path: "spec.http[0].route[0].weight",
  });
});

test("one bad document does not hide the next, whatever is wrong with it", async () => {
  const { code, issues } = await validate(
    [
      "kind: [",
      broken,
      "just: text",
      virtualService("{hosts: [a], http: [{timout: 5s, route: [{destination: {host: a}}]}]}"),
      "\tx: 1",
      `apiVersion: v1\nkind: List\nitems:\n- ${virtualService("{hosts: [a], http: [{}]}").trimEnd().replaceAll("\n", "\n  ")}`,
      '{"apiVersion": "networking.istio.io/v1", "kind": "DestinationRules", "metadata": {"name": "d"}}',
    ].join("\n---\n"),
  );
  assert.equal(code, 1);
  assert.deepEqual(
    issues.map(({ line, code: issueCode, path }) => [line, issueCode, path]),
    [
      [1, "OUT0001", undefined],
      [9, "IST0106", "spec.http[0].route[0].weight"],
      [12, "OUT0008", undefined],
      [17, "IST0106", "spec.http[0].timout"],
      [20, "OUT0001", undefined],
      [25, "OUT0005", undefined],
      [28, "IST0106", "spec.http[0]"],
      [30, "OUT0004", undefined],
    ],
  );
  assert.equal(issues[3]?.fix, 'did you mean "timeout"?');
  assert.equal(issues[7]?.fix, 'did you mean "DestinationRule"?');
});

test("fields beside spec, unknown metadata and names that no API server takes are refused", async () => {
  const { issues } = await validate(
    "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: A_b, lables: {}}\nspec: {host: a}\nsepc: {}\n",
  );
  assert.deepEqual(
    issues.map(({ path, fix }) => [path, fix]),
    [
      ["metadata.name", "use lower-case letters, digits, - and ."],
      ["metadata.lables", 'did you mean "labels"?'],
      ["sepc", 'did you mean "spec"?'],
    ],
  );
});

test("a reference to nothing is an error where the files hold the namespace, and a warning elsewhere", async () => {
  const references = virtualService(
    "{hosts: [a], gateways: [edge, other/edge, mesh], http: [{route: [{destination: {host: a, subset: v9}, weight: 1}, {destination: {host: b.other}, weight: 1}]}]}",
  );
  const severities = async (yaml: string): Promise<Record<string, string>> => {
    const { issues } = await validate(yaml);
    return Object.fromEntries(issues.map(({ path = "", code, severity }) => [path, `${severity} ${code}`]));
  };
  assert.deepEqual(await severities(references), {
    "spec.gateways[0]": "warning IST0101",
    "spec.gateways[1]": "warning IST0101",
    "spec.http[0].route[0].destination.host": "warning IST0101",
    "spec.http[0].route[1].destination.host": "warning IST0101",
  });
  assert.deepEqual(await severities(`${service}---\n${references}`), {
    "spec.gateways[0]": "error IST0101",
    "spec.gateways[1]": "warning IST0101",
    "spec.http[0].route[0].destination.subset": "error IST0101",
    "spec.http[0].route[1].destination.host": "warning IST0101",
  });
});

test("objects of Kubernetes are told where nothing can be made of them", async () => {
  const { code, issues } = await validate(
    `${service}---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  template:\n    spec: {containers: [{name: a, args: serve}]}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {version: 1}}\nspec: {containers: [{name: a}]}\n`,
  );
  assert.equal(code, 1);
  assert.deepEqual(
    issues.map(({ line, path, message }) => [line, path, message]),
    [
      [11, "spec.template.spec.containers[0].args", "expected a list"],
      [15, "metadata.labels.version", "expected a string, found the number 1"],
    ],
  );
});

test("without files, or with one that is not there, there is one sentence", async () => {
  const none = await run(["validate"]);
  assert.deepEqual([none.code, none.stderr], [1, "outrigger: name a file or directory with -f\n"]);
  const missing = await run(["validate", "-f", "nowhere.yaml"]);
  assert.deepEqual([missing.code, missing.stderr], [1, "outrigger: nowhere.yaml: no such file or directory\n"]);
});

for (const file of validationFiles) {
  test(`${file}: the exit code is Istio's verdict`, withoutTestdata, async () => {
    const wrong: string[] = [];
    for (const { id, input, expect } of validationCases(file)) {
      const { code, issues } = await validate(input.yaml);
      if ((code === 0) !== expect.valid) wrong.push(`${id}: ${issues.map(({ message }) => message).join("; ")}`);
    }
    assert.deepEqual(wrong, []);
  });
}

test("names, namespaces, labels and annotations are those that an API server takes", async () => {
  const yaml = `apiVersion: v1
kind: Service
metadata:
  name: Web
  namespace: a.b
  labels: {"a b": c, ok: "not ok", example.com/x: z}
  annotations: {"/x": y}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, labels: {ok: "${"x".repeat(64)}"}}
spec: {host: a.example}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec:
  template:
    metadata:
      labels: {app: -x}
`;
  const { code, stdout } = await run(["validate", "-f", "-", "-o", "json"], { stdin: yaml });
  const issues = JSON.parse(stdout) as { code: string; path: string; line: number; severity: string }[];
  assert.equal(code, 1);
  assert.deepEqual(
    issues.filter((issue) => issue.code === "IST0106").map(({ path, line }) => [path, line]),
    [
      ["metadata.name", 4],
      ["metadata.namespace", 5],
      ['metadata.labels["a b"]', 6],
      ["metadata.labels.ok", 6],
      ['metadata.annotations["/x"]', 7],
      ["metadata.labels.ok", 11],
      ["spec.template.metadata.labels.app", 20],
    ],
  );
});

test("mesh configuration: every issue has its line and column, in a ConfigMap and in a file of its own", async () => {
  const settings = "accessLogFile: a\nconnectTimeout: soon\ndefaultConfig:\n  concurency: 2\n  statusPort: many\n";
  const configMap = `apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
${settings.replaceAll(/^(?=.)/gm, "    ")}`;
  const places = async (flags: readonly string[], stdin: string): Promise<string[]> => {
    const { stdout } = await run(["validate", "-f", "-", "-o", "json", ...flags], { stdin });
    const issues = JSON.parse(stdout) as { file: string; line: number; column: number; path: string }[];
    return issues.map(({ file, line, column, path }) => `${file.replace(/.*\//, "")}:${line}:${column} ${path}`);
  };
  assert.deepEqual(await places([], configMap), [
    "stdin:7:5 connectTimeout",
    "stdin:9:7 defaultConfig.concurency",
    "stdin:10:7 defaultConfig.statusPort",
  ]);
  // In quotes nobody knows the lines.
  const quoted = configMap.replace(/mesh: \|[\s\S]*/, `mesh: ${JSON.stringify("connectTimeout: soon")}\n`);
  assert.deepEqual(await places([], quoted), ["stdin:5:3 connectTimeout"]);
  const file = join(folder, "mesh.yaml");
  const service = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{name: http, port: 80}]}\n";
  const here = [
    "mesh.yaml:2:1 connectTimeout",
    "mesh.yaml:4:3 defaultConfig.concurency",
    "mesh.yaml:5:3 defaultConfig.statusPort",
  ];
  writeFileSync(file, settings);
  assert.deepEqual(await places(["--mesh-config", file], service), here);
  writeFileSync(file, configMap);
  assert.deepEqual((await places(["--mesh-config", file], service))[0], "mesh.yaml:7:5 connectTimeout");
  writeFileSync(
    file,
    `apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: {name: a}\nspec:\n  meshConfig:\n    connectTimeout: soon\n`,
  );
  assert.deepEqual(await places(["--mesh-config", file], service), ["mesh.yaml:6:5 connectTimeout"]);
  writeFileSync(file, "a: 1\nb: [\n");
  assert.match((await places(["--mesh-config", file], service))[0] ?? "", /^mesh\.yaml:[23]:\d+ /);
});
