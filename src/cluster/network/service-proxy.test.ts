import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { silentLogger } from "#base/log/log.ts";
import { ManualClock } from "#base/time/clock.ts";
import { MemoryStore } from "../store/memory-store.ts";
import { endpointSlices, services } from "../store/resources.ts";
import { ServiceDirectory } from "./service-directory.ts";
import { startServiceProxy } from "./service-proxy.ts";

function addService(store: MemoryStore, name: string, address: string): void {
  store.create(services, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default" },
    spec: { clusterIP: address, ports: [{ port: 80 }] },
  });
  store.create(endpointSlices, {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name, namespace: "default", labels: { "kubernetes.io/service-name": name } },
    addressType: "IPv4",
    ports: [{ port: 8080 }],
    endpoints: [{ addresses: ["10.244.0.2"] }],
  });
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("the service proxy", () => {
  it("collects what changes during a transaction into the next one, and writes equal rules once", async () => {
    const store = new MemoryStore();
    const written: string[] = [];
    let finish: () => void = () => {};
    const proxy = await startServiceProxy({
      directory: new ServiceDirectory(store),
      log: silentLogger,
      apply: (rules) => {
        written.push(rules);
        return written.length === 2 ? new Promise<void>((resolve) => (finish = resolve)) : Promise.resolve();
      },
    });
    assert.equal(written.length, 1);
    addService(store, "a", "10.96.1.1");
    await turn();
    addService(store, "b", "10.96.1.2");
    addService(store, "c", "10.96.1.3");
    await turn();
    assert.equal(written.length, 2);
    finish();
    await turn();
    await turn();
    assert.equal(written.length, 3);
    assert.match(written[2] ?? "", /10\.96\.1\.3/);
    store.patch(services, "default", "a", { metadata: { labels: { x: "y" } } });
    await turn();
    assert.equal(written.length, 3);
    await proxy.stop();
  });

  it("tries again when the rules could not be written", async () => {
    const store = new MemoryStore();
    const clock = new ManualClock();
    let calls = 0;
    const proxy = await startServiceProxy({
      directory: new ServiceDirectory(store),
      log: silentLogger,
      clock,
      apply: () => (++calls === 2 ? Promise.reject(new Error("busy")) : Promise.resolve()),
    });
    addService(store, "a", "10.96.1.1");
    await turn();
    await turn();
    assert.equal(calls, 2);
    clock.advance(1_000);
    await turn();
    await turn();
    assert.equal(calls, 3);
    await proxy.stop();
  });
});
