import assert from "node:assert/strict";
import { test } from "node:test";
import { asArray, asRecord, fieldAt, type JsonRecord } from "../../store/json.ts";
import { daemonSets, pods } from "../../store/resources.ts";
import { startLocalCluster, until } from "../local-cluster.test-support.ts";

const path = "/apis/apps/v1/namespaces/default/daemonsets";

test("a DaemonSet has one pod on the node, replaced when it ends or the template changes", async (t) => {
  const cluster = await startLocalCluster({ kubelet: true });
  t.after(() => cluster.stop());
  const { store } = cluster;
  const status = (): JsonRecord => asRecord(store.get(daemonSets, "default", "agent")?.["status"]);
  const images = (): unknown[] =>
    store
      .list(pods, { labelSelector: "app=agent" })
      .items.map((pod) => asRecord(asArray(fieldAt(pod, "spec", "containers"))[0])["image"]);
  const template = (image: string): JsonRecord => ({
    metadata: { labels: { app: "agent" } },
    spec: { containers: [{ name: "app", image }] },
  });
  const spec = { selector: { matchLabels: { app: "agent" } }, template: template("app:1") };
  await cluster.must("POST", path, {
    body: { apiVersion: "apps/v1", kind: "DaemonSet", metadata: { name: "agent" }, spec },
  });
  await until("the pod", () => status()["numberAvailable"] === 1);
  assert.deepEqual(images(), ["app:1"]);
  const type = "application/merge-patch+json";
  await cluster.must("PATCH", `${path}/agent`, { type, body: { spec: { template: template("app:2") } } });
  await until("the new pod", () => images().join() === "app:2" && status()["updatedNumberScheduled"] === 1);
  await until("that it is counted", () => status()["numberAvailable"] === 1);
  const [pod] = store.list(pods, { labelSelector: "app=agent" }).items;
  store.patch(pods, "default", pod?.metadata.name ?? "", { status: { phase: "Failed" } }, { status: true });
  await until("another pod", () => {
    const [now] = store.list(pods, { labelSelector: "app=agent" }).items;
    return now !== undefined && now.metadata.uid !== pod?.metadata.uid;
  });
  await cluster.must("DELETE", `${path}/agent`);
  await until("that its pod is gone", () => images().length === 0);
});
