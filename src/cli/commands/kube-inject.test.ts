import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { parseAllDocuments } from "yaml";
import { run } from "../testing/run-cli.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-inject-"));
after(() => rmSync(folder, { recursive: true }));

const service = "# kept as it is\napiVersion: v1\nkind: Service\nmetadata: {name: a}\n";
const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}}
    spec: {containers: [{name: a, image: x}]}
`;

interface Container {
  readonly name: string;
  readonly image: string;
  readonly env?: { name: string; value?: string }[];
}

function sidecar(text: string): Container | undefined {
  const documents = parseAllDocuments(text).map((document) => document.toJS());
  const { containers, initContainers = [] } = documents.find(({ kind }) => kind === "Deployment").spec.template.spec;
  return [...containers, ...initContainers].find(({ name }: Container) => name === "istio-proxy");
}

test("workloads from standard input get the sidecar, everything else stays as it is", async () => {
  const { code, stdout, stderr } = await run(["kube-inject", "-f", "-"], { stdin: `${service}---\n${deployment}` });
  assert.equal(code, 0, stderr);
  assert.ok(stdout.startsWith(service));
  assert.notEqual(sidecar(stdout), undefined);
});

test("mesh configuration and values are those of the flags, in both spellings", async () => {
  writeFileSync(join(folder, "a.yaml"), deployment);
  writeFileSync(join(folder, "mesh.yaml"), "defaultConfig: {drainDuration: 7s}\n");
  writeFileSync(join(folder, "values.yaml"), "global: {proxy: {image: example.org/proxy:9}}\n");
  for (const [mesh, values] of [
    ["--mesh-config", "--values"],
    ["--meshConfigFile", "--valuesFile"],
  ] as const) {
    const argv = ["kube-inject", "-f", "a.yaml", mesh, "mesh.yaml", values, "values.yaml"];
    const { code, stdout, stderr } = await run(argv, { cwd: folder });
    assert.equal(code, 0, stderr);
    const container = sidecar(stdout);
    assert.equal(container?.image, "example.org/proxy:9");
    assert.match(container?.env?.find(({ name }) => name === "PROXY_CONFIG")?.value ?? "", /"drainDuration":"7s"/);
  }
});

test("files that cannot be used end with a sentence", async () => {
  const sentence = async (...argv: string[]): Promise<string> => {
    const { code, stderr } = await run(["kube-inject", ...argv], { cwd: folder, stdin: deployment });
    assert.equal(code, 1);
    return stderr;
  };
  assert.equal(await sentence("-f", "none.yaml"), "outrigger: none.yaml: cannot be read\n");
  writeFileSync(join(folder, "list.yaml"), "- 1\n");
  assert.equal(await sentence("-f", "-", "--values", "list.yaml"), "outrigger: list.yaml: is not a YAML mapping\n");
  writeFileSync(join(folder, "broken.yaml"), "a: [\n");
  assert.match(await sentence("-f", "-", "--values", "broken.yaml"), /^outrigger: broken\.yaml: .*\n$/);
});
