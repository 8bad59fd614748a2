import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { type MeshApi, startMeshApi } from "../testing/mesh-api.ts";
import { envoyDump } from "./proxy-config/testing/envoy-dump.ts";

let mesh: MeshApi;

before(async () => {
  mesh = await startMeshApi(["shop.default", "istiod.istio-system"]);
});

beforeEach(() => {
  mesh.asked.length = 0;
  mesh.answers.clear();
});

after(() => mesh.stop());

const status = (state: string, error?: string): object => ({
  proxy: "shop.default",
  clusterId: "Kubernetes",
  istioVersion: "1.31.0",
  types: { cds: { state: "SYNCED" }, lds: { state, ...(error !== undefined && { error }) } },
});

test("every proxy is shown with the state of each type", async () => {
  mesh.answers.set("/debug/syncz", [status("SYNCED")]);
  const { code, stdout } = await mesh.run("proxy-status");
  assert.equal(code, 0);
  assert.deepEqual(stdout.trimEnd().split("\n").at(-1)?.split(/ +/), [
    "shop.default",
    "Kubernetes",
    "SYNCED",
    "SYNCED",
    "NOT",
    "SENT",
    "NOT",
    "SENT",
    "istiod",
    "1.31.0",
  ]);
});

test("a proxy that refused something makes the exit code 1 and is told why", async () => {
  mesh.answers.set("/debug/syncz", [status("ERROR", "listener x: no")]);
  const { code, stdout } = await mesh.run("ps");
  assert.equal(code, 1);
  assert.match(stdout, /^shop\.default lds: listener x: no$/m);
});

test("with a pod: what istiod generated beside what the proxy has", async () => {
  mesh.answers.set("/debug/config_dump", envoyDump).set("/config_dump", envoyDump);
  const same = await mesh.run("ps", "shop");
  assert.deepEqual([same.code, same.stdout], [0, "Clusters Match\nListeners Match\nRoutes Match\n"]);
  assert.deepEqual(mesh.asked.toSorted(), ["GET /config_dump", "GET /debug/config_dump?proxyID=shop.default"]);
  mesh.answers.set("/config_dump", { configs: [] });
  const other = await mesh.run("ps", "shop");
  assert.equal(other.code, 1);
  assert.match(other.stdout, /^Routes Don't Match\n {2}only in istiod: 80$/m);
});

test("a proxy that is connected to no control plane is told so", async () => {
  mesh.answers.set("/config_dump", envoyDump);
  const { code, stderr } = await mesh.run("ps", "shop");
  assert.equal(code, 1);
  assert.equal(stderr, "outrigger: proxy shop.default is connected to no control plane; see: outrigger proxy-status\n");
});
