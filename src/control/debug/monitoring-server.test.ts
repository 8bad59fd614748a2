import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { afterEach, test } from "node:test";
import { typeUrl } from "#wire/xds/type-urls.ts";
import type { ControlPlaneOptions } from "../options.ts";
import {
  DeltaXdsClient,
  endpointSlice,
  meshYaml,
  startTestControlPlane,
  type TestControlPlane,
} from "../testing/test-control-plane.ts";

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(options: Partial<ControlPlaneOptions> = {}): Promise<TestControlPlane> {
  const yaml = `${meshYaml}---${endpointSlice("reviews", ["10.244.0.5"])}---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: broken, namespace: default}
spec: {hosts: [reviews], http: [{route: [{destination: {host: reviews, subset: nowhere}}]}]}
`;
  const plane = await startTestControlPlane(yaml, options);
  cleanups.push(() => plane.control.stop());
  return plane;
}

async function get(plane: TestControlPlane, path: string): Promise<{ status: number; text: string }> {
  const response = await fetch(`http://127.0.0.1:${plane.control.addresses.monitoring?.port}${path}`);
  return { status: response.status, text: await response.text() };
}

test("metrics, version and readiness are answered", async () => {
  const plane = await start();
  assert.match((await get(plane, "/metrics")).text, /# TYPE pilot_proxy_convergence_time histogram/);
  assert.match((await get(plane, "/metrics")).text, /istio_build\{component="pilot",tag="1\.31\.0"\} 1/);
  assert.equal((await get(plane, "/version")).text, "1.31.0\n");
  const ready = await fetch(`http://127.0.0.1:${plane.control.addresses.http?.port}/ready`);
  assert.equal(ready.status, 200);
  assert.equal((await get(plane, "/nothing")).status, 404);
});

test("the debug endpoints show services, endpoints, issues and what a proxy has", async () => {
  const plane = await start();
  const client = new DeltaXdsClient({ port: plane.control.addresses.plaintext?.port ?? 0 });
  cleanups.push(() => client.close());
  client.request(typeUrl.cluster);
  await client.accept();
  const json = async (path: string): Promise<unknown> => {
    const { status, text } = await get(plane, path);
    assert.equal(status, 200, `${path}: ${text}`);
    return JSON.parse(text);
  };
  assert.match(JSON.stringify(await json("/debug")), /\/debug\/syncz/);
  assert.match(JSON.stringify(await json("/debug/registryz")), /reviews\.default\.svc\.cluster\.local/);
  assert.match(JSON.stringify(await json("/debug/endpointz")), /10\.244\.0\.5/);
  assert.match(JSON.stringify(await json("/debug/mesh")), /cluster\.local/);
  assert.match(JSON.stringify(await json("/debug/push_status")), /"proxies":1/);
  const config = (await json("/debug/configz")) as { issues: { path?: string }[]; resources: { state: string }[] };
  assert.ok(config.issues.some((issue) => issue.path?.includes("subset")));
  const dump = (await json("/debug/config_dump?proxyID=productpage-v1.default")) as Record<
    string,
    { name: string; version: string; sentVersion: string; resource: Record<string, unknown> }[]
  >;
  const cluster = dump["cds"]?.find((entry) => entry.name === "outbound|9080||reviews.default.svc.cluster.local");
  assert.equal(cluster?.sentVersion, cluster?.version);
  assert.equal(cluster?.resource["@type"], typeUrl.cluster);
  const listeners = JSON.stringify(dump["lds"]);
  assert.match(listeners, /http_connection_manager\.v3\.HttpConnectionManager/);
  assert.ok(!listeners.includes('"bytes"'), "every Any of a listener has a descriptor here");
  assert.equal((await get(plane, "/debug/config_dump?proxyID=nobody.x")).status, 404);
  assert.equal((await get(plane, "/debug/config_dump")).status, 400);
  assert.equal((await get(plane, "/debug/__proto__")).status, 404);
});

test("the debug endpoints tell what proxies subscribe to and see, and who has an object", async () => {
  const plane = await start();
  plane.source.apply(`
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody, namespace: default}
spec: {}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec: {host: reviews, trafficPolicy: {connectionPool: {tcp: {maxConnections: 7}}}}
`);
  const client = new DeltaXdsClient({ port: plane.control.addresses.plaintext?.port ?? 0 });
  cleanups.push(() => client.close());
  client.request(typeUrl.cluster);
  client.request(typeUrl.route, { resourceNamesSubscribe: ["9080"] });
  const json = async (path: string): Promise<Record<string, unknown>[]> => {
    const { status, text } = await get(plane, `/debug/${path}`);
    assert.equal(status, 200, `${path}: ${text}`);
    return JSON.parse(text);
  };
  const until = async (condition: () => Promise<boolean>): Promise<void> => {
    const deadline = Date.now() + 10_000;
    while (!(await condition())) {
      assert.ok(Date.now() < deadline, `never: ${condition}`);
      if (client.waiting > 0) await client.accept();
    }
  };
  const rule = "config_distribution?resource=DestinationRule/default/reviews";
  const cluster = "outbound|9080||reviews.default.svc.cluster.local";
  await until(async () => JSON.stringify(await json(rule)).includes('"accepted":true'));
  const [holder] = await json(rule);
  assert.equal(holder?.["proxy"], "productpage-v1.default");
  const [resource] = (holder?.["resources"] ?? []) as { type: string; resource: string }[];
  assert.deepEqual([resource?.type, resource?.resource], ["cds", cluster]);
  const [subscriber] = await json("adsz?proxyID=productpage-v1.default");
  assert.deepEqual(subscriber?.["watches"], { cds: ["*"], rds: ["9080"] });
  assert.deepEqual((await json("adsz")).length, 1);
  const [sees] = await json("sidecarz");
  assert.deepEqual(sees?.["services"], ["ratings.default.svc.cluster.local", "reviews.default.svc.cluster.local"]);
  const resolved = (await json("resolve?proxyID=productpage-v1.default&host=reviews")) as unknown as {
    hostname: string;
    virtualServices: { name: string }[];
    destinationRules: { name: string }[];
  };
  assert.deepEqual(
    [resolved.hostname, resolved.virtualServices[0]?.name, resolved.destinationRules[0]?.name],
    ["reviews.default.svc.cluster.local", "broken", "reviews"],
  );
  const server = new DeltaXdsClient({
    port: plane.control.addresses.plaintext?.port ?? 0,
    node: { id: "sidecar~127.0.0.2~reviews-v1.default~default.svc.cluster.local" },
  });
  cleanups.push(() => server.close());
  server.request(typeUrl.cluster);
  await server.accept();
  const [instance] = await json("instancesz?proxyID=reviews-v1.default");
  assert.deepEqual(instance?.["instances"], [
    {
      hostname: "reviews.default.svc.cluster.local",
      namespace: "default",
      port: 9080,
      portName: "http",
      targetPort: 9080,
    },
  ]);
  assert.match(JSON.stringify(await json("authorizationz")), /"default":\[{"name":"nobody"/);
  assert.deepEqual(await json("telemetryz"), {});
  assert.match(JSON.stringify(await json("inject")), /"revision":"default"/);
  const shared = (await json("cachez")) as unknown as { resources: number; sets: number };
  assert.ok(shared.resources > 0 && shared.sets > 0);
  const [state] = (await json("statusz")).filter(({ kind }) => kind === "DestinationRule");
  assert.deepEqual([state?.["state"], state?.["current"]], ["in force", state?.["proxies"]]);
});

test("from another machine the debug endpoints want a token of the control plane's namespace", async (context) => {
  const address = Object.values(networkInterfaces())
    .flat()
    .find((entry) => entry?.family === "IPv4" && !entry.internal)?.address;
  if (address === undefined) return context.skip("no other address than loopback");
  const plane = await start({ host: "0.0.0.0" });
  const url = `http://${address}:${plane.control.addresses.monitoring?.port}/debug/syncz`;
  const status = async (token?: string): Promise<number> =>
    (await fetch(url, token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } })).status;
  assert.equal(await status(), 401);
  assert.equal(await status("garbage"), 401);
  assert.equal(await status("default/reviews"), 403);
  assert.equal(await status("istio-system/tool"), 200);
});
