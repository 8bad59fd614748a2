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
  assert.equal(await status("default/reviews"), 401);
  assert.equal(await status("istio-system/tool"), 200);
});
