// Zone aware routing on the wire: a sidecar under the real control plane, which asks for its own peers and keeps requests
// in its zone as far as the zone can take them.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { freePort } from "#base/net/testing/free-port.ts";
import { plane, proxyOf } from "./testing/meshed-proxy.ts";

const zones = ["a", "b", "c"] as const;

const node = (zone: string): string => `
apiVersion: v1
kind: Node
metadata: {name: node-${zone}, labels: {topology.kubernetes.io/region: r, topology.kubernetes.io/zone: ${zone}}}
`;

const pod = (app: string, zone: string, ip: string): string => `
apiVersion: v1
kind: Pod
metadata:
  name: ${app}-5d-${zone}
  namespace: default
  labels: {app: ${app}, pod-template-hash: 5d}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: ${app}-5d, controller: true, uid: "1"}]
spec: {nodeName: node-${zone}, containers: [{name: c, image: c}]}
status: {podIP: ${ip}, phase: Running, podIPs: [{ip: ${ip}}]}
`;

const slice = (app: string, port: number, ips: readonly string[]): string => `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ${app}-1, namespace: default, labels: {kubernetes.io/service-name: ${app}}}
addressType: IPv4
ports: [{name: http, port: ${port}, protocol: TCP}]
endpoints: [${ips.map((ip) => `{addresses: [${ip}], conditions: {ready: true}}`).join(", ")}]
`;

const service = (app: string, port: number, targetPort: number): string => `
apiVersion: v1
kind: Service
metadata: {name: ${app}, namespace: default}
spec: {clusterIP: 10.96.0.${app.length}, selector: {app: ${app}}, ports: [{name: http, port: ${port}, targetPort: ${targetPort}}]}
`;

const rule = (policy: string): string => `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop, namespace: default}
spec: {host: shop, trafficPolicy: {loadBalancer: ${policy}}}
`;

const shops = ["127.0.0.2", "127.0.0.3", "127.0.0.4"];
const clients = ["127.0.0.12", "127.0.0.13"];

function get(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    request({ port, host: "127.0.0.1", headers: { host: `shop:${port}` } }, (response) => {
      response.setEncoding("utf8");
      let text = "";
      response.on("data", (part: string) => (text += part));
      response.on("end", () => resolve(text));
    })
      .on("error", reject)
      .end();
  });
}

async function world(t: TestContext, discovers: string) {
  const backend = createServer((incoming, response) => response.end(incoming.socket.localAddress));
  backend.listen(0, "0.0.0.0");
  await once(backend, "listening");
  t.after(() => backend.close());
  const { port: appPort } = backend.address() as AddressInfo;
  const port = await freePort();
  const started = await plane(
    t,
    [
      ...zones.map(node),
      ...zones.map((zone, i) => pod("shop", zone, shops[i] ?? "")),
      service("shop", port, appPort),
      slice("shop", appPort, shops),
      pod("client", "a", clients[0] ?? ""),
      pod("client", "b", clients[1] ?? ""),
      service("client", 80, 80),
      slice("client", 80, clients),
      rule("{simple: ROUND_ROBIN, zoneAwareLbSetting: {enabled: true, minClusterSize: 1}}"),
      `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: client, namespace: default}
spec: {egress: [{port: {number: ${port}, protocol: HTTP, name: http}, bind: 127.0.0.1, captureMode: NONE, hosts: ["./*"]}]}
`,
    ].join("---"),
  );
  await proxyOf(t, started, {
    id: `sidecar~${clients[0]}~client-5d-a.default~default.svc.cluster.local`,
    token: "default/default",
    metadata: {
      NAMESPACE: "default",
      NAME: "client-5d-a",
      WORKLOAD_NAME: "client",
      LABELS: { app: "client", "pod-template-hash": "5d" },
      INSTANCE_IPS: clients[0],
      INTERCEPTION_MODE: "NONE",
      ENABLE_SELF_DISCOVERY: discovers,
    },
  });
  const ask = async (count: number): Promise<number[]> => {
    const answers = new Map<string, number>(shops.map((shop) => [shop, 0]));
    for (let i = 0; i < count; i++) {
      const from = await get(port);
      answers.set(from, (answers.get(from) ?? 0) + 1);
    }
    return [...answers.values()];
  };
  const askUntil = async (count: number, isRight: (answers: readonly number[]) => boolean): Promise<number[]> => {
    const deadline = Date.now() + 20_000;
    for (;;) {
      const answers = await ask(count);
      if (isRight(answers)) return answers;
      assert.ok(Date.now() < deadline, `last answers ${answers}`);
    }
  };
  return { started, appPort, askUntil };
}

test("a sidecar that discovers itself keeps requests in its zone as far as the zone can take them", async (t) => {
  const { started, appPort, askUntil } = await world(t, "true");
  // The peers are half in a and half in b, the hosts a third in each zone: two thirds stay, the rest goes to c.
  const [a = 0, b, c = 0] = await askUntil(120, ([, inB]) => inB === 0);
  assert.equal(b, 0);
  assert.ok(a > 55 && a < 105 && c > 15, `${a} in the own zone, ${c} in the third`);
  started.source.apply(slice("shop", appPort, shops.slice(0, 2)));
  assert.deepEqual(await askUntil(40, ([inA]) => inA === 40), [40, 0, 0]);
  // Without peers in b the own zone has all peers and half of the hosts.
  started.source.apply(slice("client", 80, clients.slice(0, 1)));
  await askUntil(40, ([, inB = 0]) => inB >= 10);
  started.source.apply(slice("client", 80, clients));
  await askUntil(40, ([inA]) => inA === 40);
  started.source.apply(rule("{simple: ROUND_ROBIN, zoneAwareLbSetting: {enabled: false}}"));
  await askUntil(40, ([, inB]) => inB === 20);
});

test("a sidecar that does not discover itself uses all zones of the region alike", async (t) => {
  const { askUntil } = await world(t, "false");
  await askUntil(60, (answers) => answers.every((count) => count === 20));
});
