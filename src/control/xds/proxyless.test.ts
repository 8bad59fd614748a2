// Independent xDS clients, proxyless gRPC in two implementations, resolve services of the mesh through our control plane
// and call them.
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

const one: Placed = { name: "one", host: "127.0.0.3", version: "v1" };
const two: Placed = { name: "two", host: "127.0.0.4", version: "v2" };
const three: Placed = { name: "three", host: "127.0.0.5", version: "v2" };

const split = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ratings, namespace: default}
spec:
  host: ratings
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings, namespace: default}
spec:
  hosts: [ratings]
  http:
  - match: [{headers: {end-user: {exact: jason}}}]
    route: [{destination: {host: ratings, subset: v2}}]
  - route:
    - {destination: {host: ratings, subset: v1}, weight: 80}
    - {destination: {host: ratings, subset: v2}, weight: 20}
`;

for (const { name, connect, skip } of grpcClients) {
  test(`a proxyless gRPC client (${name}) resolves, follows endpoints, splits, routes and fails over`, {
    skip,
  }, async (t) => {
    const { port } = await startBackend(t, "one", one.host);
    const second = await startBackend(t, "two", two.host, port);
    await startBackend(t, "three", three.host, port);
    const plane = await startTestControlPlane(`${service}---${endpoints(port, [one])}`);
    t.after(() => plane.control.stop());
    const calls = connect(t, bootstrap(plane.control.addresses.plaintext?.port, "client"));
    assert.deepEqual(await calls(1), { one: 1 });
    plane.source.apply(endpoints(port, [two]));
    await until("the new endpoint", async () => (await answering(calls)) === "two");
    plane.source.apply(`${endpoints(port, [one, two, three])}---${split}`);
    await until("both versions for anybody", async () => (await answering(calls)).includes("one"));
    await until("the second version for jason", async () => (await answering(calls, "jason")) === "three,two");
    const { one: first = 0, ...others } = await calls(500);
    assert.ok(first > 350 && first < 450, `${first} of 500 went to the first version, with weight 80`);
    assert.deepEqual(Object.keys(others).sort(), ["three", "two"]);
    second.stop();
    await until("the endpoint that is left", async () => (await answering(calls, "jason")) === "three");
    assert.deepEqual(await calls(50, "jason"), { three: 50 });
    await assertSynced(plane);
  });
}
