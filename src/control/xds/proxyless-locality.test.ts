// Independent xDS clients judge our failover between localities: priorities by where client and endpoints are.
import assert from "node:assert/strict";
import { test } from "node:test";
import { startTestControlPlane } from "../testing/test-control-plane.ts";
import {
  answering,
  assertSynced,
  bootstrap,
  endpoints,
  grpcClients,
  type Placed,
  service,
  startBackend,
  until,
} from "./testing/proxyless-clients.ts";

const near: Placed = { name: "one", host: "127.0.0.3", version: "v1", node: "near" };
const beside: Placed = { name: "two", host: "127.0.0.4", version: "v1", node: "beside" };
const far: Placed = { name: "three", host: "127.0.0.5", version: "v1", node: "far" };

const localities = `
apiVersion: v1
kind: Node
metadata: {name: near, labels: {topology.kubernetes.io/region: r1, topology.kubernetes.io/zone: z1}}
---
apiVersion: v1
kind: Node
metadata: {name: beside, labels: {topology.kubernetes.io/region: r1, topology.kubernetes.io/zone: z2}}
---
apiVersion: v1
kind: Node
metadata: {name: far, labels: {topology.kubernetes.io/region: r2, topology.kubernetes.io/zone: z1}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ratings, namespace: default}
spec:
  host: ratings
  trafficPolicy: {outlierDetection: {consecutive5xxErrors: 5}}
`;

for (const { name, connect, skip } of grpcClients) {
  test(`a proxyless gRPC client (${name}) stays in its zone, and goes to the next locality when that is drained or down`, {
    skip,
  }, async (t) => {
    const first = await startBackend(t, "one", near.host);
    const { port } = first;
    const second = await startBackend(t, "two", beside.host, port);
    await startBackend(t, "three", far.host, port);
    const plane = await startTestControlPlane(`${service}---${localities}---${endpoints(port, [near, beside, far])}`);
    t.after(() => plane.control.stop());
    const calls = connect(t, bootstrap(plane.control.addresses.plaintext?.port, "client"));
    assert.deepEqual(await calls(30), { one: 30 });
    // Drained by the platform: the endpoint is no more in the list.
    plane.source.apply(endpoints(port, [beside, far]));
    await until("the other zone", async () => (await answering(calls)) === "two");
    plane.source.apply(endpoints(port, [far]));
    await until("the other region", async () => (await answering(calls)) === "three");
    plane.source.apply(endpoints(port, [near, beside, far]));
    await until("its own zone again", async () => (await answering(calls)) === "one");
    // Down, and still in the list.
    first.stop();
    await until("the other zone, by what the client sees", async () => (await answering(calls)) === "two");
    assert.deepEqual(await calls(30), { two: 30 });
    second.stop();
    await until("the other region, by what the client sees", async () => (await answering(calls)) === "three");
    await assertSynced(plane);
  });
}
