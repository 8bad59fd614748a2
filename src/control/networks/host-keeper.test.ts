import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { fromBinary } from "@bufbuild/protobuf";
import { LogRegistry } from "#base/log/log.ts";
import { ManualClock } from "#base/time/clock.ts";
import { ClusterLoadAssignmentSchema } from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import { DeltaXdsClient, startTestControlPlane } from "../testing/test-control-plane.ts";
import { HostKeeper } from "./host-keeper.ts";
import { systemHosts } from "./resolve-host.ts";

function keeperOf(answers: (readonly string[] | Error)[], ttlMs: number | undefined = 20_000) {
  const clock = new ManualClock();
  const state = { asked: 0, changes: 0 };
  const keeper = new HostKeeper({
    resolve: async () => {
      const answer = answers[Math.min(state.asked++, answers.length - 1)];
      if (answer === undefined || answer instanceof Error) throw answer;
      return { addresses: answer, ttlMs };
    },
    clock,
    log: new LogRegistry({ level: "none" }).scope("networks"),
    onChange: () => state.changes++,
  });
  const after = async (ms: number): Promise<void> => {
    clock.advance(ms);
    await turn();
  };
  return { keeper, state, after };
}

test("a name is asked for when it comes up, and again when the answer is out of date", async () => {
  const { keeper, state, after } = keeperOf([["b", "a"], ["a", "b"], ["c"]]);
  await keeper.want(["edge.example"]);
  assert.equal(keeper.want(["edge.example"]), undefined);
  assert.deepEqual([...keeper.addresses], [["edge.example", { addresses: ["a", "b"] }]]);
  await after(20_000);
  assert.deepEqual(state, { asked: 2, changes: 1 }, "another order is no change");
  await after(20_000);
  assert.deepEqual(keeper.addresses.get("edge.example"), { addresses: ["c"] });
  assert.equal(state.changes, 2);
  assert.equal(keeper.want([]), undefined);
  assert.equal(keeper.addresses.size, 0);
  await after(600_000);
  assert.equal(state.asked, 3);
});

test("answers hold between five seconds and a minute", async () => {
  const short = keeperOf([["a"]], 0);
  await short.keeper.want(["x"]);
  await short.after(4999);
  assert.equal(short.state.asked, 1);
  await short.after(1);
  assert.equal(short.state.asked, 2);
  const long = keeperOf([["a"]], 3_600_000);
  await long.keeper.want(["x"]);
  await long.after(60_000);
  assert.equal(long.state.asked, 2);
});

test("a failure is told and tried again with back-off; addresses that were there stay", async () => {
  const { keeper, after } = keeperOf([new Error("no such name"), ["a"], new Error("no answer"), ["a"]]);
  await keeper.want(["edge.example"]);
  assert.deepEqual(keeper.addresses.get("edge.example"), { addresses: [], failure: "no such name" });
  await after(1000);
  assert.deepEqual(keeper.addresses.get("edge.example"), { addresses: ["a"] });
  await after(20_000);
  assert.deepEqual(keeper.addresses.get("edge.example"), { addresses: ["a"], failure: "no answer" });
  await after(1000);
  assert.deepEqual(keeper.addresses.get("edge.example"), { addresses: ["a"] });
});

test("the system's resolver knows hosts files, and rejects what has no address", async () => {
  const { addresses } = await systemHosts("localhost");
  assert.ok(addresses.some((address) => address === "127.0.0.1" || address === "::1"));
  await assert.rejects(systemHosts("nobody.invalid"));
});

test("proxies get the gateway of another network at the addresses of its name, and at the new ones when they change", async (t) => {
  const clock = new ManualClock();
  let addresses = ["192.0.2.1"];
  const { control } = await startTestControlPlane(
    `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  meshNetworks: |
    networks: {far: {endpoints: [{fromCidr: 10.1.0.0/16}], gateways: [{address: edge.example, port: 443}]}}
---
apiVersion: v1
kind: Service
metadata: {name: far, namespace: default}
spec: {clusterIP: 10.96.0.20, selector: {app: far}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: far-1, namespace: default, labels: {app: far, security.istio.io/tlsMode: istio}}
spec: {containers: [{name: far, image: far}]}
status: {podIP: 10.1.0.1, phase: Running}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: far-1, namespace: default, labels: {kubernetes.io/service-name: far}}
addressType: IPv4
ports: [{name: http, port: 80, protocol: TCP}]
endpoints: [{addresses: [10.1.0.1], conditions: {ready: true}}]
`,
    { clock, resolveHost: async () => ({ addresses, ttlMs: 10_000 }) },
  );
  t.after(() => control.stop());
  const client = new DeltaXdsClient({
    port: control.addresses.plaintext?.port ?? 0,
    node: { metadata: { NETWORK: "near" } },
  });
  t.after(() => client.close());
  const endpoints = async (): Promise<unknown[]> => {
    const [resource] = (await client.accept()).resources;
    const assignment = fromBinary(ClusterLoadAssignmentSchema, resource?.resource?.value ?? new Uint8Array());
    return assignment.endpoints.flatMap(({ lbEndpoints }) =>
      lbEndpoints.map(({ hostIdentifier }) =>
        hostIdentifier.case === "endpoint" && hostIdentifier.value.address?.address.case === "socketAddress"
          ? hostIdentifier.value.address.address.value.address
          : hostIdentifier.case,
      ),
    );
  };
  client.request(typeUrl.endpoint, { resourceNamesSubscribe: ["outbound|80||far.default.svc.cluster.local"] });
  assert.deepEqual(await endpoints(), ["192.0.2.1"]);
  addresses = ["192.0.2.2", "192.0.2.3"];
  clock.advance(10_000);
  assert.deepEqual(await endpoints(), ["192.0.2.2", "192.0.2.3"]);
});
