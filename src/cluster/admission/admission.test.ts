import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { hasCode } from "#base/error.ts";
import { silentLogger } from "#base/log/log.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { builtInEntry } from "../apiserver/registry.ts";
import { asArray, asRecord, fieldAt } from "../store/json.ts";
import { openStore } from "../store/open-store.ts";
import { deployments, namespaces, pods, secrets, serviceAccounts, services } from "../store/resources.ts";
import type { ObjectStore, ResourceKey } from "../store/store.ts";
import { type Admission, createAdmission } from "./admission.ts";
import { systemUser } from "./attributes.ts";

const context = { user: systemUser("test") };

describe("admission", () => {
  let store: ObjectStore;
  let admission: Admission;

  before(() => {
    store = openStore({ memory: true });
    admission = createAdmission({ store, log: silentLogger });
  });
  after(() => {
    admission.close();
    store.close();
  });
  beforeEach(() => {
    for (const resource of store.resources()) {
      for (const { metadata } of store.list(resource).items)
        store.delete(resource, metadata.namespace ?? "", metadata.name);
    }
    store.create(namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } });
    store.create(serviceAccounts, {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: "default", namespace: "shop" },
    });
  });

  const create = (resource: ResourceKey, body: Record<string, unknown>, name = "x"): Promise<KubernetesObject> => {
    const entry = builtInEntry(resource);
    const apiVersion = entry.group === "" ? "v1" : `${entry.group}/v1`;
    const metadata = { name, ...(entry.namespaced ? { namespace: "shop" } : {}) };
    return admission.create(entry, { apiVersion, kind: entry.kind, metadata, ...body }, context);
  };

  const refuses = (promise: Promise<unknown>, ...parts: string[]): Promise<void> =>
    assert.rejects(promise, (error) => {
      for (const part of parts) assert.ok(String(error).includes(part), `${part} is not in: ${String(error)}`);
      return hasCode(error, "INVALID");
    });

  test("a pod gets its account, its token and the defaults of its probes", async () => {
    const container = { name: "a", image: "registry:5000/app", readinessProbe: { httpGet: { port: 80 } } };
    const pod = await create(pods, { spec: { containers: [container] } });
    const spec = asRecord(pod["spec"]);
    assert.equal(spec["serviceAccountName"], "default");
    assert.equal(spec["terminationGracePeriodSeconds"], 30);
    assert.equal(fieldAt(pod, "status", "phase"), "Pending");
    const [first] = asArray(spec["containers"]).map(asRecord);
    assert.equal(first?.["imagePullPolicy"], "Always");
    const probe = { timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 };
    assert.deepEqual(first?.["readinessProbe"], { httpGet: { port: 80, path: "/", scheme: "HTTP" }, ...probe });
    const [volume] = asArray(spec["volumes"]).map(asRecord);
    assert.match(String(volume?.["name"]), /^kube-api-access-/);
    assert.equal(asArray(fieldAt(volume, "projected", "sources")).length, 3);
  });

  test("a pod can do without the token, and cannot run as nobody", async () => {
    const spec = { containers: [{ name: "a", image: "a:1" }] };
    const without = await create(pods, { spec: { ...spec, automountServiceAccountToken: false } }, "without");
    assert.equal(fieldAt(without, "spec", "volumes"), undefined);
    await assert.rejects(create(pods, { spec: { ...spec, serviceAccountName: "nobody" } }), (error) =>
      hasCode(error, "FORBIDDEN"),
    );
  });

  test("a pod's containers cannot be changed but for their images", async () => {
    await create(pods, { spec: { containers: [{ name: "a", image: "a:1" }] } });
    const change = (field: string, value: string) =>
      admission.update(
        builtInEntry(pods),
        "shop",
        "x",
        (stored) => {
          const [first] = asArray(fieldAt(stored, "spec", "containers")).map(asRecord);
          return { ...stored, spec: { ...asRecord(stored["spec"]), containers: [{ ...first, [field]: value }] } };
        },
        context,
      );
    await change("image", "a:2");
    await refuses(change("workingDir", "/"), "spec: Forbidden");
  });

  test("a service gets an address of its own, and keeps it", async () => {
    const ports = [{ port: 80 }];
    const first = await create(services, { spec: { ports } }, "one");
    const second = await create(services, { spec: { ports } }, "two");
    assert.notEqual(fieldAt(first, "spec", "clusterIP"), fieldAt(second, "spec", "clusterIP"));
    assert.deepEqual(fieldAt(first, "spec", "ports"), [{ port: 80, protocol: "TCP", targetPort: 80 }]);
    const entry = builtInEntry(services);
    const updated = await admission.update(
      entry,
      "shop",
      "one",
      (stored) => ({ ...stored, spec: { ports: [{ port: 81 }] } }),
      context,
    );
    assert.equal(fieldAt(updated, "spec", "clusterIP"), fieldAt(first, "spec", "clusterIP"));
    await refuses(
      admission.update(
        entry,
        "shop",
        "one",
        (stored) => ({ ...stored, spec: { ports, clusterIP: "10.96.9.9" } }),
        context,
      ),
      "spec.clusterIP",
      "immutable",
    );
    assert.equal(
      fieldAt(await create(services, { spec: { clusterIP: "None", ports } }, "headless"), "spec", "clusterIP"),
      "None",
    );
    const external = await create(services, { spec: { type: "ExternalName", externalName: "example.com" } }, "outside");
    assert.equal(fieldAt(external, "spec", "clusterIP"), undefined);
    const node = await create(services, { spec: { type: "NodePort", ports } }, "node");
    assert.equal(fieldAt(asArray(fieldAt(node, "spec", "ports"))[0], "nodePort"), 30_000);
  });

  test("many services at once all get different addresses", async () => {
    const made = await Promise.all(
      Array.from({ length: 300 }, (_, index) => create(services, { spec: { ports: [{ port: 80 }] } }, `s${index}`)),
    );
    const addresses = new Set(made.map((service) => fieldAt(service, "spec", "clusterIP")));
    assert.equal(addresses.size, 300);
    assert.ok(!addresses.has("10.96.0.1") && !addresses.has("10.96.0.10"));
  });

  test("services with ports that cannot be told apart are refused", async () => {
    await refuses(
      create(services, { spec: { ports: [{ port: 80 }, { port: 81 }] } }),
      "ports[0].name: Required",
      "ports[1].name: Required",
    );
    const same = [
      { name: "a", port: 80 },
      { name: "b", port: 80 },
    ];
    await refuses(create(services, { spec: { ports: same } }), "spec.ports[1]");
    await refuses(create(services, { spec: { ports: [{ port: 70_000 }] } }), "ports[0].port");
    await refuses(create(services, { spec: { ports: [{ port: 1 }] } }, "1x_"), "metadata.name");
  });

  test("a deployment must select its own pods, for ever", async () => {
    const template = { metadata: { labels: { app: "a" } }, spec: { containers: [{ name: "a", image: "a:1" }] } };
    await refuses(
      create(deployments, { spec: { selector: { matchLabels: { app: "b" } }, template } }),
      "does not match template",
    );
    await refuses(create(deployments, { spec: { template } }), "spec.selector: Required");
    const made = await create(deployments, { spec: { selector: { matchLabels: { app: "a" } }, template } });
    assert.deepEqual(fieldAt(made, "spec", "strategy"), {
      type: "RollingUpdate",
      rollingUpdate: { maxUnavailable: "25%", maxSurge: "25%" },
    });
    assert.equal(fieldAt(made, "spec", "replicas"), 1);
    const selector = { matchLabels: { app: "a", more: "b" } };
    const change = (stored: KubernetesObject): KubernetesObject => ({
      ...stored,
      spec: { ...asRecord(stored["spec"]), selector },
    });
    await refuses(admission.update(builtInEntry(deployments), "shop", "x", change, context), "immutable");
  });

  test("text in a secret is kept as data", async () => {
    const secret = await create(secrets, { stringData: { k: "väl" }, data: { other: "eA==" } });
    assert.deepEqual(secret["data"], { other: "eA==", k: Buffer.from("väl").toString("base64") });
    assert.equal(secret["stringData"], undefined);
    assert.equal(secret["type"], "Opaque");
  });

  test("a namespace carries its name as a label and keeps its finalizer", async () => {
    const made = await create(namespaces, {}, "mine");
    assert.deepEqual(made.metadata.labels, { "kubernetes.io/metadata.name": "mine" });
    const entry = builtInEntry(namespaces);
    const updated = await admission.update(
      entry,
      "",
      "mine",
      (stored) => ({ ...stored, metadata: { name: "mine" }, spec: {} }),
      context,
    );
    assert.deepEqual(updated["spec"], { finalizers: ["kubernetes"] });
    assert.deepEqual(updated.metadata.labels, { "kubernetes.io/metadata.name": "mine" });
  });

  test("shapes that make no sense are refused, not stumbled over", async () => {
    const specs: unknown[] = [
      null,
      1,
      "x",
      [],
      { containers: {} },
      { containers: [null] },
      { containers: [[]], volumes: "x" },
    ];
    for (const spec of specs) await refuses(create(pods, { spec: spec as never }));
    for (const spec of specs) await refuses(create(services, { spec: spec as never }));
    for (const spec of specs) await refuses(create(deployments, { spec: spec as never }));
    await refuses(
      create(pods, { spec: {}, metadata: { name: "x", namespace: "shop", labels: { a: 1 } as never } }),
      "labels",
    );
  });
});
