import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { parseYamlDocuments } from "#mesh/objects/yaml.ts";
import { Applier, type DesiredState, toApiObject } from "./apply.ts";
import { brokenFiles } from "./load.ts";

/** A cluster that keeps objects by name; what it is asked to do is in `calls`. */
class Cluster {
  readonly calls: string[] = [];
  readonly objects = new Map<string, KubernetesObject>();

  async apply(object: KubernetesObject): Promise<KubernetesObject> {
    this.calls.push(`apply ${object.metadata.name}`);
    this.objects.set(object.metadata.name, object);
    return object;
  }

  async delete(_kind: unknown, { name }: { name: string }): Promise<void> {
    this.calls.push(`delete ${name}`);
    this.objects.delete(name);
  }

  async list({ kind }: { kind: string }): Promise<{ items: KubernetesObject[]; resourceVersion: string }> {
    return { items: [...this.objects.values()].filter((object) => object.kind === kind), resourceVersion: "1" };
  }
}

let api: Cluster;
let applier: Applier;

beforeEach(() => {
  api = new Cluster();
  applier = new Applier(api, "up");
});

const configMap = (name: string, text = "x"): string =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\ndata: {text: ${text}}\n`;

function read(files: Readonly<Record<string, string>>): DesiredState {
  const parsed = Object.entries(files).map(([file, text]) => parseYamlDocuments(file, text));
  return {
    desired: parsed.flatMap(({ objects }) => objects.map(toApiObject)),
    brokenFiles: brokenFiles(parsed.flatMap(({ issues }) => issues)),
  };
}

test("only what changed is applied, and what is gone from the files is removed", async () => {
  await applier.apply(read({ "a.yaml": `${configMap("a")}---\n${configMap("b")}` }));
  await applier.apply(read({ "a.yaml": `${configMap("a")}---\n${configMap("b", "y")}` }));
  await applier.apply(read({ "a.yaml": configMap("a") }));
  assert.deepEqual(api.calls, ["apply a", "apply b", "apply b", "delete b"]);
});

test("a document that can no longer be read does not remove what it held", async () => {
  await applier.apply(read({ "a.yaml": `${configMap("a")}---\n${configMap("b")}`, "b.yaml": configMap("c") }));
  const broken = read({ "a.yaml": `${configMap("a")}---\n${configMap("b", "[")}` });
  const result = await applier.apply(broken);
  assert.deepEqual(
    result.removed.map(({ metadata }) => metadata.name),
    ["c"],
  );
  assert.deepEqual([...api.objects.keys()], ["a", "b"]);
  await applier.apply(read({ "a.yaml": configMap("a") }));
  assert.deepEqual([...api.objects.keys()], ["a"]);
});

test("what an earlier process applied stays too while its document cannot be read", async () => {
  await applier.apply(read({ "a.yaml": `${configMap("a")}---\n${configMap("b")}`, "b.yaml": configMap("c") }));
  const next = new Applier(api, "up");
  const broken = read({ "a.yaml": `${configMap("a")}---\n${configMap("b", "[")}` });
  await next.apply(broken);
  await next.removeLeftovers(broken);
  assert.deepEqual([...api.objects.keys()], ["a", "b"]);
});

test("an object whose new version is refused stays as it is", async () => {
  const state = read({ "a.yaml": configMap("a") });
  await applier.apply(state);
  await applier.apply({ desired: [], refused: state.desired });
  assert.deepEqual(api.calls, ["apply a"]);
});
