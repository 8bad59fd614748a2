// All controllers together, with a node that is only pretended.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { asArray, asRecord, fieldAt, type JsonRecord } from "../store/json.ts";
import {
  configMaps,
  deployments,
  endpointSlices,
  namespaces,
  pods,
  replicaSets,
  serviceAccounts,
  services,
} from "../store/resources.ts";
import { type LocalCluster, setReady, startLocalCluster, until } from "./local-cluster.test-support.ts";
import { isActive, isReady } from "./pod-state.ts";

const apps = "/apis/apps/v1/namespaces/default/deployments";
const servicesPath = "/api/v1/namespaces/default/services";
const mergePatch = "application/merge-patch+json";

const deployment = (name: string, replicas: number, extra: JsonRecord = {}): JsonRecord => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: { containers: [{ name: "app", image: "app:1", ports: [{ name: "web", containerPort: 9080 }] }] },
    },
    ...extra,
  },
});

const image = (value: string): JsonRecord => ({
  spec: { template: { spec: { containers: [{ name: "app", image: value }] } } },
});

describe("with pods that become ready by themselves", () => {
  let cluster: LocalCluster;
  before(async () => {
    cluster = await startLocalCluster({ kubelet: true });
  });
  after(() => cluster.stop());
  afterEach(async () => {
    for (const { metadata } of cluster.store.list(deployments).items)
      await cluster.must("DELETE", `${apps}/${metadata.name}`);
    await until("that all pods are gone", () => cluster.store.list(pods).items.length === 0);
  });

  const podsOf = (app: string): readonly KubernetesObject[] =>
    cluster.store.list(pods, { labelSelector: `app=${app}` }).items;
  const status = (name: string): JsonRecord => asRecord(cluster.store.get(deployments, "default", name)?.["status"]);

  test("a deployment becomes pods on the node, ready and counted", async () => {
    await cluster.must("POST", apps, { body: deployment("web", 3) });
    await until("three available", () => status("web")["availableReplicas"] === 3);
    for (const pod of podsOf("web")) {
      assert.match(pod.metadata.name, /^web-[a-z0-9]{10}-[a-z0-9]{5}$/);
      assert.equal(fieldAt(pod, "spec", "nodeName"), "outrigger-node");
      assert.equal(pod.metadata.labels?.["pod-template-hash"], pod.metadata.name.split("-")[1]);
    }
    const conditions = asArray(status("web")["conditions"]).map(asRecord);
    assert.deepEqual(
      conditions.map(({ type, status: value, reason }) => [type, value, reason]),
      [
        ["Available", "True", "MinimumReplicasAvailable"],
        ["Progressing", "True", "NewReplicaSetAvailable"],
      ],
    );
    assert.equal(status("web")["observedGeneration"], 1);
  });

  test("forty objects are there and converged in a moment", async () => {
    const start = performance.now();
    const applied = Array.from({ length: 20 }, (_, index) => index).map(async (index) => {
      const name = `many-${index}`;
      const service = {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name },
        spec: { selector: { app: name }, ports: [{ port: 80 }] },
      };
      const apply = { type: "application/apply-patch+yaml" };
      await cluster.must("PATCH", `${apps}/${name}?fieldManager=test`, { ...apply, body: deployment(name, 2) });
      await cluster.must("PATCH", `${servicesPath}/${name}?fieldManager=test`, { ...apply, body: service });
    });
    await Promise.all(applied);
    await until("all endpoints", () => readyEndpoints(cluster).length === 40);
    // Some tens of milliseconds on a quiet machine; the bound only catches what is of another order.
    assert.ok(performance.now() - start < 2_000);
    for (let index = 0; index < 20; index++) await cluster.must("DELETE", `${servicesPath}/many-${index}`);
    await until("that the slices are gone", () => readyEndpoints(cluster).length === 0);
  });

  test("scaling takes pods away and adds them", async () => {
    await cluster.must("POST", apps, { body: deployment("scaled", 1) });
    await cluster.must("PATCH", `${apps}/scaled/scale`, { type: mergePatch, body: { spec: { replicas: 5 } } });
    await until("five", () => status("scaled")["availableReplicas"] === 5);
    await cluster.must("PATCH", `${apps}/scaled/scale`, { type: mergePatch, body: { spec: { replicas: 2 } } });
    await until("two", () => status("scaled")["replicas"] === 2 && podsOf("scaled").length === 2);
    assert.equal(cluster.store.list(replicaSets, { labelSelector: "app=scaled" }).items.length, 1);
  });

  test("a pod that is deleted is replaced", async () => {
    await cluster.must("POST", apps, { body: deployment("healed", 1) });
    await until("a pod", () => podsOf("healed").some(isReady));
    const [first] = podsOf("healed");
    await cluster.must("DELETE", `/api/v1/namespaces/default/pods/${first?.metadata.name}`);
    await until("another one", () =>
      podsOf("healed").some((pod) => isReady(pod) && pod.metadata.uid !== first?.metadata.uid),
    );
  });

  test("Recreate never lets old and new run side by side", async () => {
    await cluster.must("POST", apps, { body: deployment("apart", 2, { strategy: { type: "Recreate" } }) });
    await until("the old ones", () => status("apart")["availableReplicas"] === 2);
    const mixed: boolean[] = [];
    const end = cluster.store.watch(pods, { labelSelector: "app=apart" }, () => {
      const images = new Set(
        podsOf("apart").map((pod) => fieldAt(asArray(fieldAt(pod, "spec", "containers"))[0], "image")),
      );
      mixed.push(images.size > 1);
    });
    await cluster.must("PATCH", `${apps}/apart`, { type: mergePatch, body: image("app:2") });
    await until(
      "the new ones",
      () => status("apart")["updatedReplicas"] === 2 && status("apart")["availableReplicas"] === 2,
    );
    end();
    assert.ok(mixed.length > 0 && mixed.every((value) => !value));
  });

  test("going back to an earlier template uses its ReplicaSet again", async () => {
    await cluster.must("POST", apps, { body: deployment("back", 1) });
    await until("the first", () => status("back")["availableReplicas"] === 1);
    const first = cluster.store.list(replicaSets, { labelSelector: "app=back" }).items[0]?.metadata.name;
    const containers = fieldAt(
      cluster.store.get(deployments, "default", "back"),
      "spec",
      "template",
      "spec",
      "containers",
    );
    await cluster.must("PATCH", `${apps}/back`, { type: mergePatch, body: image("app:2") });
    await until("the second", () => cluster.store.list(replicaSets, { labelSelector: "app=back" }).items.length === 2);
    await cluster.must("PATCH", `${apps}/back`, {
      type: mergePatch,
      body: { spec: { template: { spec: { containers } } } },
    });
    const isBack = (): boolean =>
      podsOf("back").length === 1 && podsOf("back")[0]?.metadata.ownerReferences?.[0]?.name === first;
    await until("the first again", () => isBack() && status("back")["updatedReplicas"] === 1);
    const revision = cluster.store.get(deployments, "default", "back")?.metadata.annotations?.[
      "deployment.kubernetes.io/revision"
    ];
    assert.equal(revision, "3");
  });

  test("a namespace takes everything with it, and others come with what every namespace has", async () => {
    await cluster.must("POST", "/api/v1/namespaces", {
      body: { apiVersion: "v1", kind: "Namespace", metadata: { name: "brief" } },
    });
    await until("its content", () => cluster.store.get(serviceAccounts, "brief", "default") !== undefined);
    assert.match(
      String(fieldAt(cluster.store.get(configMaps, "brief", "kube-root-ca.crt"), "data", "ca.crt")),
      /BEGIN CERTIFICATE/,
    );
    const path = "/apis/apps/v1/namespaces/brief/deployments";
    await cluster.must("POST", path, { body: deployment("doomed", 2) });
    await until("pods", () => podsOf("doomed").filter(isReady).length === 2);
    const ending = await cluster.must("DELETE", "/api/v1/namespaces/brief");
    assert.ok(fieldAt(ending, "metadata", "deletionTimestamp"));
    assert.equal((await cluster.call("POST", path, { body: deployment("late", 1) })).status >= 403, true);
    await until("the end of the namespace", () => cluster.store.get(namespaces, "", "brief") === undefined);
    for (const resource of cluster.store.resources())
      assert.deepEqual(cluster.store.list(resource, { namespace: "brief" }).items, []);
  });

  test("what was owned by something that is gone goes too", async () => {
    const map = (name: string, owners: readonly KubernetesObject[]): KubernetesObject => ({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: {
        name,
        namespace: "default",
        ownerReferences: owners.map(({ apiVersion, kind, metadata }) => ({
          apiVersion,
          kind,
          name: metadata.name,
          uid: metadata.uid ?? "",
        })),
      },
    });
    const a = cluster.store.create(configMaps, map("owner-a", []));
    const b = cluster.store.create(configMaps, map("owner-b", []));
    cluster.store.create(configMaps, map("of-both", [a, b]));
    cluster.store.create(configMaps, map("of-a", [a]));
    cluster.store.delete(configMaps, "default", "owner-a");
    await until("that of-a is gone", () => cluster.store.get(configMaps, "default", "of-a") === undefined);
    assert.deepEqual(
      cluster.store.get(configMaps, "default", "of-both")?.metadata.ownerReferences?.map(({ name }) => name),
      ["owner-b"],
    );
    cluster.store.create(configMaps, map("too-late", [a]));
    await until("that too-late is gone", () => cluster.store.get(configMaps, "default", "too-late") === undefined);
    cluster.store.delete(configMaps, "default", "owner-b");
  });
});

describe("with pods that the test makes ready", () => {
  let cluster: LocalCluster;
  before(async () => {
    cluster = await startLocalCluster();
  });
  after(() => cluster.stop());

  test("a rolling update never goes below what may be unavailable, nor above the surge", async () => {
    const { store } = cluster;
    const rollingUpdate = { maxSurge: 1, maxUnavailable: 1 };
    await cluster.must("POST", apps, {
      body: deployment("rolling", 4, { strategy: { type: "RollingUpdate", rollingUpdate } }),
    });
    const active = (): readonly KubernetesObject[] =>
      store.list(pods, { labelSelector: "app=rolling" }).items.filter(isActive);
    await until("four pods", () => active().length === 4);
    for (const { metadata } of active()) setReady(store, "default", metadata.name, true);
    const available = (): number =>
      Number(fieldAt(store.get(deployments, "default", "rolling"), "status", "availableReplicas"));
    await until("four available", () => available() === 4);
    let fewestReady = 4;
    let mostPods = 4;
    const end = store.watch(pods, { labelSelector: "app=rolling" }, () => {
      fewestReady = Math.min(fewestReady, active().filter(isReady).length);
      mostPods = Math.max(mostPods, active().length);
    });
    await cluster.must("PATCH", `${apps}/rolling`, { type: mergePatch, body: image("app:2") });
    const isNew = (pod: KubernetesObject): boolean => JSON.stringify(pod["spec"]).includes("app:2");
    const isDone = (): boolean => active().length === 4 && active().every((pod) => isNew(pod) && isReady(pod));
    // The node is slow: it makes one pod ready at a time.
    while (!isDone()) {
      await until("a pod that is not ready", () => active().some((pod) => isNew(pod) && !isReady(pod)) || isDone());
      const waiting = active().find((pod) => isNew(pod) && !isReady(pod));
      if (waiting !== undefined) setReady(store, "default", waiting.metadata.name, true);
      for (const pod of store.list(pods, { labelSelector: "app=rolling" }).items) {
        if (!isActive(pod)) store.delete(pods, "default", pod.metadata.name, { gracePeriodSeconds: 0 });
      }
    }
    end();
    assert.equal(fewestReady, 3);
    assert.equal(mostPods, 5);
  });

  test("a load balancer is reached at the Service's own address, and its status says so", async () => {
    const body = (type: string): JsonRecord => ({ spec: { type, ports: [{ name: "web", port: 80 }] } });
    const made = await cluster.must("POST", servicesPath, {
      body: { apiVersion: "v1", kind: "Service", metadata: { name: "edge" }, ...body("LoadBalancer") },
    });
    const ingress = (): unknown => fieldAt(cluster.store.get(services, "default", "edge"), "status", "loadBalancer");
    const ip = fieldAt(made, "spec", "clusterIP");
    await until("an address", () => JSON.stringify(ingress()) === JSON.stringify({ ingress: [{ ip }] }));
    await cluster.must("PATCH", `${servicesPath}/edge`, { type: mergePatch, body: { spec: { type: "ClusterIP" } } });
    await until("no address", () => JSON.stringify(ingress()) === "{}");
  });

  test("endpoints follow readiness, named ports and the end of pods", async () => {
    const { store } = cluster;
    await cluster.must("POST", apps, { body: deployment("served", 2) });
    const spec = {
      selector: { app: "served" },
      ports: [{ name: "http", port: 80, targetPort: "web", appProtocol: "http" }],
    };
    const service = await cluster.must("POST", servicesPath, {
      body: { apiVersion: "v1", kind: "Service", metadata: { name: "served" }, spec },
    });
    assert.match(String(fieldAt(service, "spec", "clusterIP")), /^10\.96\.\d+\.\d+$/);
    const active = (): readonly KubernetesObject[] => store.list(pods, { labelSelector: "app=served" }).items;
    await until("pods", () => active().length === 2);
    const [first, second] = active();
    assert.ok(first && second);
    setReady(store, "default", first.metadata.name, true);
    setReady(store, "default", second.metadata.name, false);
    const slices = (): readonly KubernetesObject[] =>
      store.list(endpointSlices, { labelSelector: "kubernetes.io/service-name=served" }).items;
    const endpoints = (): readonly JsonRecord[] =>
      slices().flatMap((slice) => asArray(slice["endpoints"]).map(asRecord));
    await until("two endpoints", () => endpoints().length === 2);
    assert.equal(slices().length, 1);
    assert.deepEqual(asArray(slices()[0]?.["ports"]), [
      { name: "http", port: 9080, protocol: "TCP", appProtocol: "http" },
    ]);
    const conditions = (name: string): unknown =>
      endpoints().find((endpoint) => fieldAt(endpoint, "targetRef", "name") === name)?.["conditions"];
    assert.deepEqual(conditions(first.metadata.name), { ready: true, serving: true, terminating: false });
    assert.deepEqual(conditions(second.metadata.name), { ready: false, serving: false, terminating: false });
    store.delete(pods, "default", first.metadata.name);
    await until("that it is terminating", () => fieldAt(conditions(first.metadata.name), "terminating") === true);
    assert.deepEqual(conditions(first.metadata.name), { ready: false, serving: true, terminating: true });
    store.delete(pods, "default", first.metadata.name, { gracePeriodSeconds: 0 });
    await until("that it is gone", () => conditions(first.metadata.name) === undefined);
  });

  test("a rollout that stands still says so when its deadline is over", async () => {
    await cluster.must("POST", apps, { body: deployment("stuck", 1, { progressDeadlineSeconds: 1 }) });
    const reason = (): unknown =>
      asArray(fieldAt(cluster.store.get(deployments, "default", "stuck"), "status", "conditions"))
        .map(asRecord)
        .find(({ type }) => type === "Progressing")?.["reason"];
    await until("progress", () => reason() === "ReplicaSetUpdated");
    await until("the deadline", () => reason() === "ProgressDeadlineExceeded");
  });

  test("the cluster begins with its namespaces and its two fixed services", async () => {
    const address = async (path: string): Promise<unknown> =>
      fieldAt(await cluster.must("GET", path), "spec", "clusterIP");
    assert.equal(await address("/api/v1/namespaces/default/services/kubernetes"), "10.96.0.1");
    assert.equal(await address("/api/v1/namespaces/kube-system/services/kube-dns"), "10.96.0.10");
    const taken = {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "thief" },
      spec: { clusterIP: "10.96.0.10", ports: [{ port: 1 }] },
    };
    assert.equal((await cluster.call("POST", servicesPath, { body: taken })).status, 422);
    const labels = fieldAt(await cluster.must("GET", "/api/v1/namespaces/default"), "metadata", "labels");
    assert.deepEqual(labels, { "kubernetes.io/metadata.name": "default" });
  });
});

function readyEndpoints(cluster: LocalCluster): readonly unknown[] {
  return cluster.store
    .list(endpointSlices, { labelSelector: "kubernetes.io/service-name" })
    .items.filter((slice) => slice.metadata.name.startsWith("many-"))
    .flatMap((slice) => asArray(slice["endpoints"]))
    .filter((endpoint) => fieldAt(endpoint, "conditions", "ready") === true);
}
