// What every store must do, run against each of them.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { hasCode } from "#base/error.ts";
import { ManualClock } from "#base/time/clock.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { openStore } from "./open-store.ts";
import { configMaps, namespaces, pods } from "./resources.ts";
import type { ObjectStore, WatchEvent, WatchOptions } from "./store.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-store-"));
after(() => rmSync(folder, { recursive: true }));
let count = 0;

const implementations: Readonly<Record<string, (clock: ManualClock) => ObjectStore>> = {
  memory: (clock) => openStore({ memory: true, clock }),
  sqlite: (clock) => openStore({ path: join(folder, `${count++}.db`), clock }),
};

const map = (
  name: string,
  data: Record<string, string> = {},
  labels: Record<string, string> = {},
): KubernetesObject => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace: "default", labels },
  data,
});

const pod = (name: string, spec: Record<string, unknown> = {}): KubernetesObject => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "default" },
  spec: { nodeName: "n", ...spec },
});

const failsWith = (code: string) => (error: unknown) => hasCode(error, code);

function collect(store: ObjectStore, options: WatchOptions): string[] {
  const seen: string[] = [];
  store.watch(configMaps, options, ({ type, object }: WatchEvent) =>
    seen.push(`${type} ${object.metadata.name}`.trim()),
  );
  return seen;
}

const delivered = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

for (const [name, open] of Object.entries(implementations)) {
  describe(`the ${name} store`, () => {
    const start = Date.parse("2026-01-02T03:04:05.678Z");
    const withStore = async (run: (store: ObjectStore, clock: ManualClock) => void | Promise<void>): Promise<void> => {
      const clock = new ManualClock(start);
      const store = open(clock);
      try {
        await run(store, clock);
      } finally {
        store.close();
      }
    };

    test("gives a new object its uid, time, version and generation", () =>
      withStore((store) => {
        const created = store.create(pods, pod("a"));
        assert.match(created.metadata.uid ?? "", /^[0-9a-f-]{36}$/);
        assert.equal(created.metadata.creationTimestamp, "2026-01-02T03:04:05Z");
        assert.equal(created.metadata.resourceVersion, store.resourceVersion);
        assert.equal(created.metadata.generation, 1);
        assert.equal(store.get(pods, "default", "a"), created);
      }));

    test("freezes what it holds and leaves the writer's object alone", () =>
      withStore((store) => {
        const given = map("a", { k: "v" });
        const created = store.create(configMaps, given);
        assert.throws(() => Object.assign(created["data"] ?? {}, { k: "changed" }), TypeError);
        Object.assign(given["data"] ?? {}, { k: "changed" });
        assert.deepEqual(store.get(configMaps, "default", "a")?.["data"], { k: "v" });
      }));

    test("makes names from generateName", () =>
      withStore((store) => {
        const metadata = { name: "", generateName: "web-", namespace: "default" };
        const names = [1, 2, 3].map(() => store.create(pods, { ...pod(""), metadata }).metadata.name);
        assert.equal(new Set(names).size, 3);
        for (const generated of names) assert.match(generated, /^web-[a-z0-9]{5}$/);
      }));

    test("refuses a second object of the same name", () =>
      withStore((store) => {
        store.create(configMaps, map("a"));
        assert.throws(() => store.create(configMaps, map("a")), failsWith("ALREADY_EXISTS"));
      }));

    test("lists by namespace, labels and fields, in order of names", () =>
      withStore((store) => {
        store.create(configMaps, map("b", {}, { app: "x" }));
        store.create(configMaps, map("a", {}, { app: "y" }));
        store.create(configMaps, { ...map("c"), metadata: { name: "c", namespace: "other" } });
        const names = (options = {}): string[] =>
          store.list(configMaps, options).items.map((object) => object.metadata.name);
        assert.deepEqual(names(), ["a", "b", "c"]);
        assert.deepEqual(names({ namespace: "default" }), ["a", "b"]);
        assert.deepEqual(names({ labelSelector: "app in (x,z)" }), ["b"]);
        assert.deepEqual(names({ fieldSelector: "metadata.namespace!=default" }), ["c"]);
      }));

    test("counts generations by changes of the content, not of metadata or status", () =>
      withStore((store) => {
        const created = store.create(pods, pod("a"));
        const labelled = store.patch(pods, "default", "a", { metadata: { labels: { x: "y" } } });
        assert.equal(labelled.metadata.generation, 1);
        assert.notEqual(labelled.metadata.resourceVersion, created.metadata.resourceVersion);
        assert.equal(
          store.patch(pods, "default", "a", { status: { phase: "Running" } }, { status: true }).metadata.generation,
          1,
        );
        assert.equal(store.patch(pods, "default", "a", { spec: { hostname: "h" } }).metadata.generation, 2);
      }));

    test("keeps the status when the content is written, and the content when the status is", () =>
      withStore((store) => {
        store.create(pods, pod("a"));
        store.updateStatus(pods, { ...pod("a", { nodeName: "ignored" }), status: { phase: "Running" } });
        const updated = store.update(pods, { ...pod("a", { hostname: "h" }), status: { phase: "ignored" } });
        assert.deepEqual(updated["status"], { phase: "Running" });
        assert.deepEqual(updated["spec"], { nodeName: "n", hostname: "h" });
      }));

    test("refuses to write over a version that the writer has not seen", () =>
      withStore((store) => {
        const first = store.create(configMaps, map("a"));
        store.update(configMaps, { ...first, data: { k: "1" } });
        assert.throws(() => store.update(configMaps, { ...first, data: { k: "2" } }), failsWith("CONFLICT"));
        assert.throws(() => store.updateStatus(configMaps, { ...first, status: {} }), failsWith("CONFLICT"));
        const stale = { metadata: { resourceVersion: first.metadata.resourceVersion }, data: { k: "3" } };
        assert.throws(() => store.patch(configMaps, "default", "a", stale), failsWith("CONFLICT"));
        assert.deepEqual(store.get(configMaps, "default", "a")?.["data"], { k: "1" });
      }));

    test("does nothing when nothing changes", () =>
      withStore(async (store) => {
        const created = store.create(configMaps, map("a", { k: "v" }));
        const seen = collect(store, { fromVersion: store.resourceVersion });
        assert.equal(store.update(configMaps, map("a", { k: "v" })), created);
        await delivered();
        assert.deepEqual(seen, []);
      }));

    test("patches by merging, and removes with null", () =>
      withStore((store) => {
        store.create(configMaps, map("a", { k: "v", gone: "x" }));
        const patched = store.patch(configMaps, "default", "a", { data: { k: "w", gone: null, added: "y" } });
        assert.deepEqual(patched["data"], { k: "w", added: "y" });
      }));

    test("shows a watcher first what is there, then what happens", () =>
      withStore(async (store) => {
        store.create(configMaps, map("a"));
        const seen = collect(store, {});
        store.create(configMaps, map("b"));
        store.patch(configMaps, "default", "a", { data: { k: "v" } });
        store.delete(configMaps, "default", "a");
        assert.deepEqual(seen, [], "nothing is delivered inside the writer's call");
        await delivered();
        assert.deepEqual(seen, ["ADDED a", "BOOKMARK", "ADDED b", "MODIFIED a", "DELETED a"]);
      }));

    test("replays from a version, and says so when it cannot", () =>
      withStore(async (store) => {
        const { resourceVersion = "" } = store.create(configMaps, map("a")).metadata;
        store.create(configMaps, map("b"));
        const seen = collect(store, { fromVersion: resourceVersion });
        await delivered();
        assert.deepEqual(seen, ["ADDED b"]);
        for (let index = 0; index < 5000; index++)
          store.patch(configMaps, "default", "b", { data: { k: String(index) } });
        assert.throws(() => collect(store, { fromVersion: resourceVersion }), failsWith("EXPIRED"));
        assert.throws(() => collect(store, { fromVersion: "999999" }), failsWith("EXPIRED"));
      }));

    test("shows objects that begin or cease to match as added or deleted", () =>
      withStore(async (store) => {
        const seen = collect(store, { fromVersion: store.resourceVersion, labelSelector: "on=yes" });
        store.create(configMaps, map("a"));
        store.patch(configMaps, "default", "a", { metadata: { labels: { on: "yes" } } });
        store.patch(configMaps, "default", "a", { data: { k: "v" } });
        store.patch(configMaps, "default", "a", { metadata: { labels: { on: "no" } } });
        await delivered();
        assert.deepEqual(seen, ["ADDED a", "MODIFIED a", "DELETED a"]);
      }));

    test("tells those who watch everything about every resource", () =>
      withStore(async (store) => {
        const seen: string[] = [];
        store.watchAll((resource, { type }) => seen.push(`${type} ${resource.plural}`));
        store.create(configMaps, map("a"));
        store.create(pods, pod("a"));
        await delivered();
        assert.deepEqual(seen, ["ADDED configmaps", "ADDED pods"]);
        assert.deepEqual(
          store
            .resources()
            .map(({ plural }) => plural)
            .toSorted(),
          ["configmaps", "pods"],
        );
      }));

    test("does not call back after the end of a watch", () =>
      withStore(async (store) => {
        const seen: string[] = [];
        const end = store.watch(configMaps, {}, ({ type }) => seen.push(type));
        store.create(configMaps, map("a"));
        end();
        await delivered();
        assert.deepEqual(seen, []);
      }));

    test("lets a pod end in its grace period, and removes it when the node says so", () =>
      withStore((store) => {
        store.create(pods, pod("a", { terminationGracePeriodSeconds: 10 }));
        const ending = store.delete(pods, "default", "a");
        assert.equal(ending.metadata.deletionTimestamp, "2026-01-02T03:04:15Z");
        assert.equal(ending.metadata.deletionGracePeriodSeconds, 10);
        assert.equal(store.delete(pods, "default", "a"), ending, "asking again does not extend it");
        assert.equal(
          store.delete(pods, "default", "a", { gracePeriodSeconds: 2 }).metadata.deletionGracePeriodSeconds,
          2,
        );
        store.delete(pods, "default", "a", { gracePeriodSeconds: 0 });
        assert.equal(store.get(pods, "default", "a"), undefined);
      }));

    test("removes pods at once that run nowhere or have ended", () =>
      withStore((store) => {
        store.create(pods, { ...pod("a"), spec: {} });
        store.delete(pods, "default", "a");
        store.create(pods, { ...pod("b"), status: { phase: "Succeeded" } });
        store.delete(pods, "default", "b");
        assert.equal(store.list(pods).items.length, 0);
      }));

    test("keeps an object with finalizers until the last one is gone", () =>
      withStore((store) => {
        store.create(configMaps, { ...map("a"), metadata: { name: "a", namespace: "default", finalizers: ["x/y"] } });
        assert.notEqual(store.delete(configMaps, "default", "a").metadata.deletionTimestamp, undefined);
        assert.notEqual(store.get(configMaps, "default", "a"), undefined);
        store.patch(configMaps, "default", "a", { metadata: { finalizers: null } });
        assert.equal(store.get(configMaps, "default", "a"), undefined);
      }));

    test("keeps a namespace until its own finalizer is gone", () =>
      withStore((store) => {
        const spec = { finalizers: ["kubernetes"] };
        store.create(namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name: "n" }, spec });
        store.delete(namespaces, "", "n");
        const ending = store.get(namespaces, "", "n");
        assert.ok(ending?.metadata.deletionTimestamp);
        store.update(namespaces, { ...ending, spec: { finalizers: [] } });
        assert.equal(store.get(namespaces, "", "n"), undefined);
      }));

    test("deletes only the object that was meant", () =>
      withStore((store) => {
        store.create(configMaps, map("a"));
        assert.throws(() => store.delete(configMaps, "default", "a", { uid: "another" }), failsWith("CONFLICT"));
        assert.throws(() => store.delete(configMaps, "default", "b"), failsWith("NOT_FOUND"));
      }));
  });
}
