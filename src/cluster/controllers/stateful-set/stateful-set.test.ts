import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { asArray, asRecord, fieldAt, type JsonRecord } from "../../store/json.ts";
import { endpointSlices, pods, statefulSets } from "../../store/resources.ts";
import {
  type LocalCluster,
  type LocalClusterOptions,
  setReady,
  startLocalCluster,
  until,
} from "../local-cluster.test-support.ts";

const path = "/apis/apps/v1/namespaces/default/statefulsets";
const mergePatch = "application/merge-patch+json";

const set = (replicas: number, extra: JsonRecord = {}, podSpec: JsonRecord = {}): JsonRecord => ({
  apiVersion: "apps/v1",
  kind: "StatefulSet",
  metadata: { name: "web" },
  spec: {
    replicas,
    serviceName: "nginx",
    selector: { matchLabels: { app: "web" } },
    template: {
      metadata: { labels: { app: "web" } },
      spec: { containers: [{ name: "app", image: "app:1" }], ...podSpec },
    },
    ...extra,
  },
});

async function start(t: TestContext, options: LocalClusterOptions = {}): Promise<LocalCluster> {
  const cluster = await startLocalCluster(options);
  t.after(() => cluster.stop());
  return cluster;
}

const names = ({ store }: LocalCluster): string =>
  store
    .list(pods, { labelSelector: "app=web" })
    .items.map((pod) => pod.metadata.name)
    .sort()
    .join();
const podAt = ({ store }: LocalCluster, name: string): KubernetesObject | undefined => store.get(pods, "default", name);
const status = ({ store }: LocalCluster): JsonRecord => asRecord(store.get(statefulSets, "default", "web")?.["status"]);
const imageOf = (cluster: LocalCluster, name: string): unknown =>
  asRecord(asArray(fieldAt(podAt(cluster, name), "spec", "containers"))[0])["image"];

async function becomeReady(cluster: LocalCluster, name: string): Promise<void> {
  await until(`${name} on the node`, () => fieldAt(podAt(cluster, name), "spec", "nodeName") !== undefined);
  setReady(cluster.store, "default", name, true);
}

test("pods are made in order, each when the one before it is ready, and removed from the highest number down", async (t) => {
  const cluster = await start(t);
  await cluster.must("POST", path, { body: set(3) });
  await until("the first", () => names(cluster) === "web-0");
  await becomeReady(cluster, "web-0");
  await until("the second", () => names(cluster) === "web-0,web-1");
  await becomeReady(cluster, "web-1");
  await until("the third", () => names(cluster) === "web-0,web-1,web-2");
  await becomeReady(cluster, "web-2");
  await until("the count", () => status(cluster)["readyReplicas"] === 3 && status(cluster)["updatedReplicas"] === 3);
  await cluster.must("PATCH", `${path}/web/scale`, { type: mergePatch, body: { spec: { replicas: 1 } } });
  await until("the third to end", () => podAt(cluster, "web-2")?.metadata.deletionTimestamp !== undefined);
  assert.equal(podAt(cluster, "web-1")?.metadata.deletionTimestamp, undefined);
  cluster.store.delete(pods, "default", "web-2", { gracePeriodSeconds: 0 });
  await until("the second to end", () => podAt(cluster, "web-1")?.metadata.deletionTimestamp !== undefined);
  assert.equal(podAt(cluster, "web-0")?.metadata.deletionTimestamp, undefined);
});

test("a pod that goes comes back under its name, and one that has ended is replaced", async (t) => {
  const cluster = await start(t, { kubelet: true });
  await cluster.must("POST", path, { body: set(2) });
  await until("both", () => status(cluster)["availableReplicas"] === 2);
  const before = podAt(cluster, "web-0")?.metadata.uid;
  await cluster.must("DELETE", "/api/v1/namespaces/default/pods/web-0");
  await until("another one", () => ![before, undefined].includes(podAt(cluster, "web-0")?.metadata.uid));
  const second = podAt(cluster, "web-1")?.metadata.uid;
  cluster.store.patch(pods, "default", "web-1", { status: { phase: "Failed" } }, { status: true });
  await until("another second", () => ![second, undefined].includes(podAt(cluster, "web-1")?.metadata.uid));
  await until("both again", () => status(cluster)["availableReplicas"] === 2);
});

test("names, labels and volumes: the host name below the Service, its number, claims as empty folders", async (t) => {
  const cluster = await start(t, { kubelet: true });
  const claims = { volumeClaimTemplates: [{ metadata: { name: "data" }, spec: { accessModes: ["ReadWriteOnce"] } }] };
  const mounts = {
    containers: [{ name: "app", image: "app:1", volumeMounts: [{ name: "data", mountPath: "/data" }] }],
  };
  const volumes = {
    volumes: [{ name: "other", emptyDir: {} }],
  };
  await cluster.must("POST", path, { body: set(1, { ordinals: { start: 5 }, ...claims }, { ...mounts, ...volumes }) });
  await until("the pod", () => names(cluster) === "web-5");
  const pod = podAt(cluster, "web-5");
  assert.deepEqual([fieldAt(pod, "spec", "hostname"), fieldAt(pod, "spec", "subdomain")], ["web-5", "nginx"]);
  assert.equal(pod?.metadata.labels?.["apps.kubernetes.io/pod-index"], "5");
  assert.equal(pod?.metadata.labels?.["statefulset.kubernetes.io/pod-name"], "web-5");
  const written = asArray(fieldAt(pod, "spec", "volumes")).map(asRecord);
  assert.deepEqual(
    written.filter(({ name }) => name === "data"),
    [{ name: "data", emptyDir: {} }],
  );
  assert.ok(written.some(({ name }) => name === "other"));
  const service = {
    metadata: { name: "nginx" },
    spec: { clusterIP: "None", selector: { app: "web" }, ports: [{ port: 80 }] },
  };
  await cluster.must("POST", "/api/v1/namespaces/default/services", {
    body: { apiVersion: "v1", kind: "Service", ...service },
  });
  await until("its name at the endpoint", () =>
    cluster.store
      .list(endpointSlices)
      .items.some((slice) => asRecord(asArray(slice["endpoints"])[0])["hostname"] === "web-5"),
  );
});

test("a new template goes from the highest number down to the partition, and OnDelete waits", async (t) => {
  const cluster = await start(t, { kubelet: true });
  const rolling = { updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 1 } } };
  await cluster.must("POST", path, { body: set(3, rolling) });
  await until("all", () => status(cluster)["availableReplicas"] === 3);
  const image = { spec: { template: { spec: { containers: [{ name: "app", image: "app:2" }] } } } };
  await cluster.must("PATCH", `${path}/web`, { type: mergePatch, body: image });
  await until(
    "two of the new",
    () => status(cluster)["updatedReplicas"] === 2 && status(cluster)["availableReplicas"] === 3,
  );
  assert.deepEqual(
    ["web-0", "web-1", "web-2"].map((name) => imageOf(cluster, name)),
    ["app:1", "app:2", "app:2"],
  );
  assert.notEqual(status(cluster)["currentRevision"], status(cluster)["updateRevision"]);
  const all = { spec: { updateStrategy: { rollingUpdate: { partition: 0 } } } };
  await cluster.must("PATCH", `${path}/web`, { type: mergePatch, body: all });
  await until(
    "all of the new",
    () => status(cluster)["updatedReplicas"] === 3 && status(cluster)["availableReplicas"] === 3,
  );
  assert.equal(status(cluster)["currentRevision"], status(cluster)["updateRevision"]);
});

test("Parallel makes all at once; what pods are may not change", async (t) => {
  const cluster = await start(t);
  await cluster.must("POST", path, { body: set(3, { podManagementPolicy: "Parallel" }) });
  await until("all three", () => names(cluster) === "web-0,web-1,web-2");
  const other = await cluster.call("PATCH", `${path}/web`, {
    type: mergePatch,
    body: { spec: { serviceName: "other" } },
  });
  assert.equal(other.status, 422);
  assert.match(other.text, /spec\.serviceName: .*immutable/);
  const never = await cluster.call("POST", path, { body: set(1, {}, { restartPolicy: "Never" }) });
  assert.match(never.text, /restartPolicy/);
});
