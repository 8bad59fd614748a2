// The applier against a real API server.
import assert from "node:assert/strict";
import { test } from "node:test";
import { startLocalCluster } from "#cluster/controllers/local-cluster.test-support.ts";
import { KubernetesClient } from "#control/sources/kubernetes/client.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { parseYamlDocuments } from "#mesh/objects/yaml.ts";
import { kind } from "../mesh/connection.ts";
import { Applier, type DesiredState, toApiObject } from "./apply.ts";

const configMaps = kind("v1", "ConfigMap");
const state = (yaml: string): DesiredState => ({
  desired: parseYamlDocuments("a.yaml", yaml).objects.map(toApiObject),
});
const configMap = (text: string): string =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {text: ${text}}\n`;

test("what the files say is created, changed and removed; a refused object keeps nothing else back", async (context) => {
  const cluster = await startLocalCluster({ controllers: false });
  const client = new KubernetesClient({ socketPath: cluster.socketPath });
  context.after(async () => {
    client.close();
    await cluster.stop();
  });
  const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name: "default" } };
  await cluster.must("POST", "/api/v1/namespaces", { body: namespace });
  const find = async (): Promise<KubernetesObject | undefined> =>
    (await client.list(configMaps, { namespace: "default" })).items.find(({ metadata }) => metadata.name === "a");
  const applier = new Applier(client, "test");

  assert.deepEqual((await applier.apply(state(configMap("one")))).failures, []);
  assert.match(JSON.stringify((await find())?.metadata.annotations), /a\.yaml/);
  const nowhere = "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: nowhere}\nspec: {}\n";
  const { applied, failures } = await applier.apply(state(`${nowhere}---\n${configMap("two")}`));
  assert.deepEqual([applied.length, failures.length], [1, 1]);
  assert.match(failures[0]?.reason ?? "", /nowhere/);
  assert.deepEqual((await find())?.["data"], { text: "two" });
  await new Applier(client, "test").removeLeftovers({ desired: [] });
  assert.equal(await find(), undefined);
});
