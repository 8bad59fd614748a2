import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { readMeshIssues, readMeshSnapshot } from "./snapshot.ts";

const client = (mesh: string) => ({
  find: async (): Promise<KubernetesObject> => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { namespace: "istio-system", name: "istio" },
    data: { mesh },
  }),
  list: async () => ({ items: [], resourceVersion: "1" }),
});

test("the snapshot has the settings of the mesh that runs", async () => {
  const snapshot = await readMeshSnapshot(client("trustDomain: one.example"));
  assert.equal(snapshot.meshConfig.trustDomain, "one.example");
});

test("what is wrong in the mesh's settings is among the issues", async () => {
  assert.match((await readMeshIssues(client("trustDomains: x")))[0]?.message ?? "", /unknown field "trustDomains"/);
});
