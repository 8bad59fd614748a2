import assert from "node:assert/strict";
import { test } from "node:test";
import { OutriggerError } from "#base/error.ts";
import { silentLogger } from "#base/log/log.ts";
import { MetricRegistry } from "#base/metrics/registry.ts";
import { ManualClock } from "#base/time/clock.ts";
import type { DesiredStatus } from "#mesh/objects/desired-status.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { StatusWriter } from "./status-writer.ts";

const apiVersion = "networking.istio.io/v1";

function object(name: string, version: string, status?: unknown): KubernetesObject {
  return {
    apiVersion,
    kind: "VirtualService",
    metadata: { name, namespace: "default", resourceVersion: version },
    ...(status !== undefined && { status }),
  };
}

function desired(name: string, status: DesiredStatus["status"]): DesiredStatus {
  return { apiVersion, kind: "VirtualService", namespace: "default", name, status };
}

const reconciled = (status: string): DesiredStatus["status"] => ({ conditions: [{ type: "Reconciled", status }] });

/** An API server that remembers, refuses stale writes, and fails when told. */
class Store {
  readonly clock = new ManualClock(0);
  readonly writes: string[] = [];
  /** What the watch has brought. */
  readonly known = new Map<string, KubernetesObject>();
  readonly objects = new Map<string, KubernetesObject>();
  fail: string | undefined;
  readonly writer: StatusWriter = new StatusWriter({
    client: {
      find: async (_kind, { name }) => this.objects.get(name),
      updateStatus: async (_kind, next) => this.#update(next),
    },
    stored: ({ name }) => this.known.get(name),
    clock: this.clock,
    log: silentLogger,
    writes: new MetricRegistry().counter("writes", "", ["outcome"]),
  });

  put(...objects: KubernetesObject[]): void {
    for (const one of objects) {
      this.objects.set(one.metadata.name, one);
      this.known.set(one.metadata.name, one);
    }
  }

  #update(next: KubernetesObject): KubernetesObject {
    const { name, resourceVersion } = next.metadata;
    if (this.fail !== undefined) throw new OutriggerError(this.fail, "told to fail");
    const stored = this.objects.get(name);
    if (stored === undefined) throw new OutriggerError("API_NOT_FOUND", name);
    if (stored.metadata.resourceVersion !== resourceVersion) throw new OutriggerError("API_CONFLICT", name);
    const written = { ...next, metadata: { ...next.metadata, resourceVersion: `${resourceVersion}+` } };
    this.objects.set(name, written);
    this.writes.push(name);
    return written;
  }

  async settle(): Promise<void> {
    for (let turn = 0; turn < 50; turn++) await Promise.resolve();
  }
}

test("a status is written when it differs, and not again", async () => {
  const store = new Store();
  store.put(
    object("a", "1"),
    object("b", "1", { conditions: [{ type: "Reconciled", status: "True", lastTransitionTime: "t" }] }),
  );
  const wanted = [desired("a", reconciled("True")), desired("b", reconciled("True")), desired("gone", {})];
  store.writer.want(wanted);
  await store.settle();
  assert.deepEqual(store.writes, ["a"]);
  // The watch has not brought our own write yet.
  store.writer.want(wanted);
  await store.settle();
  store.known.set("a", store.objects.get("a") ?? object("a", "?"));
  store.writer.want(wanted);
  await store.settle();
  assert.deepEqual(store.writes, ["a"]);
});

test("a condition keeps the time of its last transition", async () => {
  const store = new Store();
  store.clock.advance(60_000);
  store.put(object("a", "1"));
  const status = (): unknown => store.objects.get("a")?.["status"];
  store.writer.want([desired("a", { ...reconciled("True"), observedGeneration: 1 })]);
  await store.settle();
  const at = (time: string, value: string, generation: number): unknown => ({
    observedGeneration: generation,
    conditions: [{ type: "Reconciled", status: value, lastTransitionTime: time }],
  });
  assert.deepEqual(status(), at("1970-01-01T00:01:00Z", "True", 1));
  store.clock.advance(60_000);
  store.writer.want([desired("a", { ...reconciled("True"), observedGeneration: 2 })]);
  await store.settle();
  assert.deepEqual(status(), at("1970-01-01T00:01:00Z", "True", 2));
  store.writer.want([desired("a", { ...reconciled("False"), observedGeneration: 2 })]);
  await store.settle();
  assert.deepEqual(status(), at("1970-01-01T00:02:00Z", "False", 2));
});

test("a write that meets another's is repeated on what that one left", async () => {
  const store = new Store();
  store.put(object("a", "1"));
  store.objects.set("a", object("a", "2", { others: "field" }));
  store.writer.want([desired("a", reconciled("True"))]);
  await store.settle();
  const status = store.objects.get("a")?.["status"] as Record<string, unknown> | undefined;
  assert.equal(status?.["others"], "field");
  assert.deepEqual(store.writes, ["a"]);
});

test("a write that fails is tried again later, with what is wanted then", async () => {
  const store = new Store();
  store.put(object("a", "1"));
  store.fail = "API_UNREACHABLE";
  store.writer.want([desired("a", reconciled("False"))]);
  await store.settle();
  store.fail = undefined;
  store.writer.want([desired("a", reconciled("True"))]);
  await store.settle();
  assert.deepEqual(store.writes, []);
  store.clock.advance(1000);
  await store.settle();
  assert.deepEqual(store.writes, ["a"]);
  const status = store.objects.get("a")?.["status"] as { conditions: { status: string }[] } | undefined;
  assert.equal(status?.conditions[0]?.status, "True");
});

test("writes are limited in rate", async () => {
  const store = new Store();
  const names = Array.from({ length: 700 }, (_, index) => `o${index}`);
  store.put(...names.map((name) => object(name, "1")));
  store.writer.want(names.map((name) => desired(name, reconciled("True"))));
  for (let turn = 0; turn < 200; turn++) await store.settle();
  assert.equal(store.writes.length, 500);
  for (let step = 0; step < 10; step++) {
    store.clock.advance(100);
    for (let turn = 0; turn < 20; turn++) await store.settle();
  }
  assert.equal(store.writes.length, 600);
});

test("several statuses of one object are one write", async () => {
  const store = new Store();
  store.put(object("a", "1"));
  store.writer.want([
    desired("a", { conditions: [{ type: "Reconciled", status: "True" }] }),
    desired("a", { conditions: [{ type: "Other", status: "False" }], addresses: ["240.240.0.1"] }),
  ]);
  await store.settle();
  const status = store.objects.get("a")?.["status"] as
    | { conditions: { type: string }[]; addresses: string[] }
    | undefined;
  assert.deepEqual(
    status?.conditions.map(({ type }) => type),
    ["Reconciled", "Other"],
  );
  assert.deepEqual([status?.addresses, store.writes], [["240.240.0.1"], ["a"]]);
});

test("a replica that does not lead any more writes nothing", async () => {
  const store = new Store();
  store.put(object("a", "1"));
  store.fail = "API_UNREACHABLE";
  store.writer.want([desired("a", reconciled("True"))]);
  await store.settle();
  store.fail = undefined;
  store.writer.pause();
  store.clock.advance(120_000);
  await store.settle();
  assert.deepEqual(store.writes, []);
});
