// Wasm modules on the wire: a gateway with its agent's part under the real control plane, modules on a web server.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { ExtensionModules } from "#agent/wasm/extension-modules.ts";
import { ModuleStore } from "#agent/wasm/module-store.ts";
import { registryFake, types } from "#agent/wasm/registry/testing/registry-fake.ts";
import { LogRegistry, silentLogger } from "#base/log/log.ts";
import { addressFilter } from "#base/net/address-filter.ts";
import { freePort } from "#base/net/testing/free-port.ts";
import { systemClock } from "#base/time/clock.ts";
import { endpointSlice, startTestControlPlane, type TestControlPlane } from "#control/testing/test-control-plane.ts";
import type { RunningProxy } from "#proxy/options.ts";
import { startProxy } from "#proxy/start.ts";
import { compilePlugin } from "#proxy/wasm/testing/compile.ts";
import { SecretStore } from "#wire/tls/secrets.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";

let module: Buffer;
const asked: string[] = [];
const folder = mkdtempSync(join(tmpdir(), "outrigger-modules-"));
/** Serves the application, and modules below /modules. */
const server = createServer((request, response) => {
  const url = request.url ?? "";
  if (!url.startsWith("/modules/")) return response.end("application");
  asked.push(url);
  if (url.endsWith("gone.wasm")) response.statusCode = 404;
  return response.end(url.endsWith(".gz") ? gzipSync(module) : url.endsWith("text.wasm") ? "text" : module);
});
let port = 0;
let gatewayPort = 0;
let plane: TestControlPlane;
let proxy: RunningProxy;

const plugin = (name: string, spec: string, kind = "WasmPlugin"): string => `
apiVersion: extensions.istio.io/v1alpha1
kind: ${kind}
metadata: {name: ${name}, namespace: istio-system}
spec: ${spec}
`;
const at = (file: string): string => `url: "http://127.0.0.1:${port}/modules/${file}"`;
const says = (text: string): string => `pluginName: add_header, pluginConfig: {says: ${text}}`;

before(async () => {
  module = Buffer.from(await compilePlugin("sdk-add-header"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  port = (server.address() as AddressInfo).port;
  gatewayPort = await freePort();
  const meshYaml = `
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec:
  clusterIP: 10.96.0.2
  selector: {istio: ingressgateway}
  ports: [{name: http, port: ${gatewayPort}, targetPort: ${gatewayPort}}]
---
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: default}
spec:
  clusterIP: 10.96.0.20
  selector: {app: reviews}
  ports: [{name: http, port: 9080, targetPort: ${port}}]
---
${endpointSlice("reviews", ["127.0.0.1"], port)}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gateway, namespace: default}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: ${gatewayPort}, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: all, namespace: default}
spec: {hosts: ["*"], gateways: [gateway], http: [{route: [{destination: {host: reviews, port: {number: 9080}}}]}]}
`;
  plane = await startTestControlPlane(
    [meshYaml, plugin("first", `{${at("first.wasm")}, ${says("first")}}`)].join("---"),
  );
  const store = new ModuleStore({ folder, clock: systemClock, isAllowed: () => true, retries: 0 });
  const modules = new ExtensionModules(store, silentLogger);
  proxy = await startProxy({
    node: {
      id: "router~127.0.0.1~gateway-1.istio-system~istio-system.svc.cluster.local",
      cluster: "istio-ingressgateway",
      locality: { region: "", zone: "", subZone: "" },
      metadata: { NAMESPACE: "istio-system", LABELS: { istio: "ingressgateway" } },
    },
    role: "router",
    version: "1.31.0",
    ads: {
      address: `127.0.0.1:${plane.control.addresses.tls?.port ?? 0}`,
      tls: { rootCertificates: () => plane.control.rootCertificates, serverName: "istiod.istio-system.svc" },
      token: async () => "istio-system/gateway",
      preparations: new Map([[typeUrl.extensionConfig, (update) => modules.prepare(update)]]),
    },
    secrets: new SecretStore(),
    log: new LogRegistry({ level: "none" }),
    servers: {},
  });
});

after(async () => {
  await proxy?.stop();
  await plane?.control.stop();
  server.close();
  server.closeAllConnections();
  rmSync(folder, { recursive: true, force: true });
});

/** What modules added to the answer, in the order of the filters from the router back; or the status that is not 200. */
async function said(): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${gatewayPort}/`).catch(() => undefined);
  if (response === undefined) return "nothing listens";
  const text = (response.headers.get("hello") ?? "").replaceAll(/[^a-z, ]|says/g, "");
  await response.text();
  return response.status === 200 ? text : String(response.status);
}

async function until(expected: string): Promise<void> {
  const deadline = Date.now() + 20_000;
  let found = "";
  while (Date.now() < deadline) {
    found = await said();
    if (found === expected) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.equal(found, expected);
}

test("a WasmPlugin's module is fetched once, and its configuration reaches it", async () => {
  await until("first");
  assert.deepEqual(asked.splice(0), ["/modules/first.wasm"]);
});

test("a new configuration does not fetch the module again; several go by phase and priority", async () => {
  plane.source.apply(plugin("first", `{${at("first.wasm")}, ${says("changed")}}`));
  await until("changed");
  plane.source.apply(
    [
      plugin("authn", `{phase: AUTHN, wasm: {${at("first.wasm")}, ${says("authn")}}}`, "TrafficExtension"),
      plugin("late", `{${at("first.wasm")}, ${says("low")}, priority: -1}`),
      plugin("other-port", `{${at("first.wasm")}, ${says("never")}, match: [{ports: [{number: 1}]}]}`),
      plugin("servers", `{${at("first.wasm")}, ${says("never")}, match: [{mode: SERVER}]}`),
    ].join("---"),
  );
  // Answers pass the filters from the last to the first.
  await until("low, changed, authn");
  assert.deepEqual(asked, []);
  for (const name of ["late", "other-port", "servers"]) plane.source.delete(plugin(name, `{url: file:///a}`));
  plane.source.delete(plugin("authn", "{wasm: {url: file:///a}}", "TrafficExtension"));
  await until("changed");
});

test("a module from a file of the image, and one that comes compressed with its checksum", async () => {
  const path = join(folder, "own.wasm");
  writeFileSync(path, module);
  plane.source.apply(plugin("first", `{url: "file://${path}", ${says("file")}}`));
  await until("file");
  const sha256 = createHash("sha256").update(gzipSync(module)).digest("hex");
  plane.source.apply(plugin("first", `{${at("a.gz")}, sha256: "${sha256}", ${says("packed")}}`));
  await until("packed");
});

test("a module that cannot be had: the last good one stays; without one requests fail, or pass with FAIL_OPEN", async () => {
  plane.source.apply(plugin("first", `{${at("a.wasm")}, sha256: "${"0".repeat(64)}", ${says("never")}}`));
  for (let i = 0; i < 4000 && !asked.includes("/modules/a.wasm"); i++) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.ok(asked.includes("/modules/a.wasm"));
  assert.equal(await said(), "packed");
  plane.source.delete(plugin("first", "{url: file:///a}"));
  await until("");
  plane.source.apply(plugin("broken", `{${at("gone.wasm")}, ${says("never")}}`));
  await until("500");
  plane.source.apply(plugin("broken", `{${at("text.wasm")}, ${says("never")}, failStrategy: FAIL_OPEN}`));
  await until("");
  plane.source.delete(plugin("broken", "{url: file:///a}"));
  plane.source.apply(plugin("again", `{${at("first.wasm")}, ${says("again")}}`));
  await until("again");
  assert.equal(readdirSync(folder).filter((name) => name !== "own.wasm").length, 1, "of one module there is one file");
});

test("a module out of an image: with the Secret that its WasmPlugin names, and again when the plugin changes", async (t) => {
  const registry = await registryFake();
  t.after(() => registry.close());
  registry.access = { scheme: "bearer", user: "ann:secret" };
  registry.push("team/plugin", "v1", [{ mediaType: types.artifact, content: module }]);
  const config = (password: string): string =>
    JSON.stringify({ auths: { [registry.host]: { username: "ann", password } } });
  const secret = (password: string): string => `
apiVersion: v1
kind: Secret
metadata: {name: pull, namespace: istio-system}
type: kubernetes.io/dockerconfigjson
data: {.dockerconfigjson: ${Buffer.from(config(password)).toString("base64")}}
`;
  const image = (text: string): string =>
    plugin("image", `{url: "oci://${registry.host}/team/plugin:v1", imagePullSecret: pull, ${says(text)}}`);
  plane.source.delete(plugin("again", "{url: file:///a}"));
  plane.source.apply(`${secret("wrong")}---${image("pulled")}`);
  await until("500");
  plane.source.apply(secret("secret"));
  await until("pulled");
  plane.source.apply(image("reconfigured"));
  await until("reconfigured");
  assert.equal(registry.asked.filter((line) => line.includes("/blobs/")).length, 1);
  plane.source.delete(plugin("image", "{url: file:///a}"));
});

test("addresses that nobody asks, large modules and removed files", async (t) => {
  const own = join(folder, "own");
  t.after(() => rmSync(own, { recursive: true, force: true }));
  const source = (file: string) => ({ url: `http://127.0.0.1:${port}/modules/${file}`, sha256: "", timeoutMs: 5000 });
  const make = (settings: object): ModuleStore =>
    new ModuleStore({ folder: own, clock: systemClock, isAllowed: () => true, retries: 0, ...settings });
  await assert.rejects(make({ isAllowed: addressFilter() }).file(source("a.wasm")), /127\.0\.0\.1 is never asked/);
  await assert.rejects(make({ maxBytes: 100 }).file(source("a.wasm")), /gives more than 100 bytes/);
  await assert.rejects(make({ maxBytes: module.length - 1 }).file(source("a.gz")), /cannot be unpacked/);
  await assert.rejects(make({}).file(source("text.wasm")), /it is no WebAssembly module/);
  const store = make({});
  const file = await store.file(source("a.wasm"));
  await store.keep("user", [source("a.wasm")]);
  assert.equal(existsSync(file), true);
  await store.keep("user", []);
  assert.equal(existsSync(file), false);
  const again = store.file(source("a.wasm"));
  await store.keep("another", []);
  assert.equal(existsSync(await again), true, "what somebody has just asked for stays");
  await store.keep("user", [source("first.wasm")]);
  assert.equal(existsSync(await again), true);
});
