// What becomes of WorkloadEntries while proxies come, go and tell their health, at one replica and at several.
import assert from "node:assert/strict";
import { test } from "node:test";
import { OutriggerError } from "#base/error.ts";
import { silentLogger } from "#base/log/log.ts";
import { MetricRegistry } from "#base/metrics/registry.ts";
import { ManualClock } from "#base/time/clock.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { parseProxyNode } from "#mesh/snapshot/proxy-node.ts";
import type { ConnectionInfo } from "../xds/connection.ts";
import { entryFromGroup, entryNameOf } from "./workload-entry.ts";
import { WorkloadRegistrar, type WorkloadRegistrarOptions } from "./workload-registrar.ts";

const group: KubernetesObject = {
  apiVersion: "networking.istio.io/v1",
  kind: "WorkloadGroup",
  metadata: { name: "billing", namespace: "vms", uid: "u1" },
  spec: {
    metadata: { labels: { app: "billing", tier: "group" }, annotations: { owner: "team" } },
    template: { serviceAccount: "billing", ports: { http: 8080 }, labels: { tier: "template", zone: "a" } },
  },
};

interface NodeSettings {
  readonly metadata?: Record<string, string | object>;
  readonly account?: string;
  readonly at?: number;
}

function info({ metadata = {}, account = "billing", at = 1_000_000 }: NodeSettings = {}): ConnectionInfo {
  const node = parseProxyNode({
    id: "sidecar~10.1.0.7~vm-1.vms~vms.svc.cluster.local",
    metadata: { AUTO_REGISTER_GROUP: "billing", LABELS: { tier: "node" }, ...metadata },
    locality: { region: "r", zone: "z", subZone: "" },
  });
  assert.ok(typeof node !== "string");
  const identity = { trustDomain: "cluster.local", namespace: "vms", serviceAccount: account };
  return {
    id: `c${at}`,
    node,
    peer: "",
    caller: { identity } as ConnectionInfo["caller"],
    userAgent: "",
    connectedAtMs: at,
  };
}

/** Objects in memory, with versions as an API server has them. */
class Objects {
  readonly stored = new Map<string, KubernetesObject>();
  failing: string | null = null;
  #version = 0;

  readonly client = {
    find: async (kind: { kind: string }, { name, namespace }: { name: string; namespace?: string }) =>
      this.stored.get(`${kind.kind} ${namespace}/${name}`),
    list: async (kind: { kind: string }) => ({
      items: [...this.stored.values()].filter((object) => object.kind === kind.kind),
      resourceVersion: "1",
    }),
    create: async (_kind: unknown, object: KubernetesObject) => {
      this.#fail();
      if (this.stored.has(keyOf(object))) throw new OutriggerError("API_ALREADY_EXISTS", "it is there");
      return this.#put(object);
    },
    update: async (_kind: unknown, object: KubernetesObject) => {
      this.#fail();
      return this.#replace(object, (stored) => ({ ...object, status: stored["status"] }));
    },
    updateStatus: async (_kind: unknown, object: KubernetesObject) =>
      this.#replace(object, (stored) => ({ ...stored, status: object["status"] })),
    delete: async (kind: { kind: string }, { name, namespace }: { name: string; namespace?: string }) =>
      void this.stored.delete(`${kind.kind} ${namespace}/${name}`),
  } as unknown as WorkloadRegistrarOptions["client"];

  constructor(...objects: KubernetesObject[]) {
    for (const object of objects) this.#put(object);
  }

  entry(name = "billing-10.1.0.7"): KubernetesObject | undefined {
    return this.stored.get(`WorkloadEntry vms/${name}`);
  }

  annotations(): Record<string, string> {
    return { ...this.entry()?.metadata.annotations };
  }

  #fail(): void {
    if (this.failing !== null) throw new OutriggerError("API_UNREACHABLE", this.failing);
  }

  #replace(object: KubernetesObject, next: (stored: KubernetesObject) => KubernetesObject): KubernetesObject {
    const stored = this.stored.get(keyOf(object));
    if (stored === undefined) throw new OutriggerError("API_NOT_FOUND", "it is gone");
    if (stored.metadata.resourceVersion !== object.metadata.resourceVersion) {
      throw new OutriggerError("API_CONFLICT", "another version");
    }
    return this.#put(next(stored));
  }

  #put(object: KubernetesObject): KubernetesObject {
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#version) } };
    this.stored.set(keyOf(object), stored);
    return stored;
  }
}

const keyOf = ({ kind, metadata }: KubernetesObject): string => `${kind} ${metadata.namespace}/${metadata.name}`;

const settled = async (): Promise<void> => {
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
};

function replica(objects: Objects, clock: ManualClock, instance = "istiod-1"): WorkloadRegistrar {
  return new WorkloadRegistrar({
    client: objects.client,
    instance,
    clock,
    log: silentLogger,
    metrics: new MetricRegistry(),
  });
}

test("an entry is named, labelled and owned as istiod does it", () => {
  const entry = entryFromGroup(info().node, group);
  assert.equal(entry.metadata.name, "billing-10.1.0.7");
  assert.deepEqual(entry.metadata.labels, { app: "billing", tier: "node", zone: "a" });
  assert.deepEqual(entry.metadata.annotations, { "istio.io/autoRegistrationGroup": "billing", owner: "team" });
  assert.deepEqual(entry.metadata.ownerReferences, [
    { apiVersion: "networking.istio.io/v1", kind: "WorkloadGroup", name: "billing", uid: "u1", controller: true },
  ]);
  assert.deepEqual(entry["spec"], {
    serviceAccount: "billing",
    ports: { http: 8080 },
    labels: { app: "billing", tier: "node", zone: "a" },
    address: "10.1.0.7",
    locality: "r/z",
  });
  const probed = info({ metadata: { NETWORK: "edge", PROXY_CONFIG: { readinessProbe: {} }, INSTANCE_IPS: "fd00::7" } });
  assert.equal(entryNameOf(probed.node), "billing-fd00--7-edge");
  const made = entryFromGroup(probed.node, group);
  assert.equal(made.metadata.annotations?.["proxy.istio.io/health-checks-enabled"], "true");
  assert.equal((made["spec"] as { network: string }).network, "edge");
  const long = info({ metadata: { AUTO_REGISTER_GROUP: `x${"g".repeat(300)}` } });
  assert.equal(entryNameOf(long.node).length, 253);
  assert.ok(entryNameOf(long.node).endsWith("-10.1.0.7"));
});

test("a proxy that connects is registered, says so when it goes, and its entry goes after the grace period", async () => {
  const objects = new Objects(group);
  const clock = new ManualClock(1_000_000);
  const registrar = replica(objects, clock);
  assert.equal(await registrar.connected(info()), undefined);
  assert.deepEqual(objects.annotations(), {
    "istio.io/autoRegistrationGroup": "billing",
    owner: "team",
    "istio.io/workloadController": "istiod-1",
    "istio.io/connectedAt": "1970-01-01T00:16:40.000Z",
  });
  clock.advance(5000);
  registrar.disconnected(info());
  await settled();
  assert.equal(objects.annotations()["istio.io/connectedAt"], undefined);
  assert.equal(objects.annotations()["istio.io/disconnectedAt"], "1970-01-01T00:16:45.000Z");
  clock.advance(9999);
  await settled();
  assert.ok(objects.entry() !== undefined);
  clock.advance(1);
  await settled();
  assert.equal(objects.entry(), undefined);
});

test("a proxy that comes back in time keeps its entry", async () => {
  const objects = new Objects(group);
  const clock = new ManualClock(1_000_000);
  const registrar = replica(objects, clock);
  await registrar.connected(info());
  // The new stream is there before the old one is seen to end.
  await registrar.connected(info({ at: 1_000_500 }));
  registrar.disconnected(info());
  await settled();
  assert.equal(objects.annotations()["istio.io/disconnectedAt"], undefined);
  registrar.disconnected(info({ at: 1_000_500 }));
  await settled();
  clock.advance(3000);
  assert.equal(await registrar.connected(info({ at: 1_003_000 })), undefined);
  clock.advance(60_000);
  await settled();
  assert.equal(objects.annotations()["istio.io/connectedAt"], "1970-01-01T00:16:43.000Z");
  assert.equal(objects.annotations()["istio.io/disconnectedAt"], undefined);
});

test("with several replicas the one that holds the proxy decides, whatever the other hears late", async () => {
  const objects = new Objects(group);
  const clock = new ManualClock(1_000_000);
  const [first, second] = [replica(objects, clock), replica(objects, clock, "istiod-2")];
  await first.connected(info());
  clock.advance(1000);
  await second.connected(info({ at: 1_001_000 }));
  assert.equal(objects.annotations()["istio.io/workloadController"], "istiod-2");
  first.disconnected(info());
  first.health(info(), { isHealthy: false, message: "late" });
  await settled();
  clock.advance(60_000);
  await settled();
  assert.equal(objects.annotations()["istio.io/disconnectedAt"], undefined);
  assert.equal(objects.entry()?.["status"], undefined);
  // A word of the past does not take it back either.
  await first.connected(info());
  assert.equal(objects.annotations()["istio.io/workloadController"], "istiod-2");
});

test("health becomes a condition beside the others, also while others write the object", async () => {
  const objects = new Objects(group);
  const registrar = replica(objects, new ManualClock(1_000_000));
  await registrar.connected(info());
  const entry = objects.entry();
  assert.ok(entry !== undefined);
  await objects.client.updateStatus({} as never, {
    ...entry,
    status: { conditions: [{ type: "Reconciled", status: "True" }] },
  });
  registrar.health(info(), { isHealthy: false, message: "no answer" });
  registrar.health(info(), { isHealthy: true, message: "" });
  registrar.health(info(), { isHealthy: false, message: "answered 500" });
  await settled();
  const time = "1970-01-01T00:16:40.000Z";
  assert.deepEqual(objects.entry()?.["status"], {
    conditions: [
      { type: "Reconciled", status: "True" },
      { type: "Healthy", status: "False", lastProbeTime: time, lastTransitionTime: time, message: "answered 500" },
    ],
  });
});

test("who may not be registered is told why", async () => {
  const objects = new Objects(group);
  const registrar = replica(objects, new ManualClock(1_000_000));
  assert.equal(
    await registrar.connected(info({ account: "other" })),
    "WorkloadGroup vms/billing is for service account billing, not other",
  );
  assert.equal(
    await registrar.connected(info({ metadata: { AUTO_REGISTER_GROUP: "biling" } })),
    "there is no WorkloadGroup vms/biling",
  );
  assert.equal(
    await registrar.connected(info({ metadata: { AUTO_REGISTER_GROUP: "", WORKLOAD_ENTRY: "mine" } })),
    "there is no WorkloadEntry vms/mine",
  );
  objects.failing = "the API server is away";
  assert.match((await registrar.connected(info())) ?? "", /cannot be written: the API server is away/);
  assert.equal(objects.entry(), undefined);
  assert.equal(registrar.concerns(info({ metadata: { AUTO_REGISTER_GROUP: "" } }).node), false);
});

test("a disconnect that cannot be written is written later, and what nobody cleaned up is found", async () => {
  const objects = new Objects(group);
  const clock = new ManualClock(1_000_000);
  const registrar = replica(objects, clock);
  await registrar.connected(info());
  objects.failing = "the API server is away";
  registrar.disconnected(info());
  await settled();
  assert.equal(objects.annotations()["istio.io/disconnectedAt"], undefined);
  objects.failing = null;
  for (let i = 0; i < 20 && objects.annotations()["istio.io/disconnectedAt"] === undefined; i++) {
    clock.advance(100);
    await settled();
  }
  assert.ok(objects.annotations()["istio.io/disconnectedAt"] !== undefined);
  await registrar.stop();
  // That replica is gone; another finds the entry.
  const other = replica(objects, clock, "istiod-2");
  other.start();
  clock.advance(100_000);
  await settled();
  assert.equal(objects.entry(), undefined);
  await other.stop();
});
