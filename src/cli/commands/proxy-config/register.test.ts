import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { type MeshApi, startMeshApi } from "../../testing/mesh-api.ts";
import { run } from "../../testing/run-cli.ts";
import { envoyClusters, envoyDump, istioctlDump } from "./testing/envoy-dump.ts";

let mesh: MeshApi;
const folder = mkdtempSync(join(tmpdir(), "outrigger-dump-"));

before(async () => {
  mesh = await startMeshApi(["shop.default"]);
  writeFileSync(join(folder, "envoy.json"), JSON.stringify(envoyDump));
  writeFileSync(join(folder, "istioctl.json"), JSON.stringify(istioctlDump));
  writeFileSync(join(folder, "broken.json"), "{");
});

beforeEach(() => {
  mesh.asked.length = 0;
  mesh.answers.clear();
  mesh.answers.set("/config_dump", envoyDump).set("/clusters", envoyClusters);
});

after(async () => {
  await mesh.stop();
  rmSync(folder, { recursive: true });
});

const json = async (...argv: string[]): Promise<unknown> => {
  const { code, stdout, stderr } = await mesh.run("proxy-config", ...argv, "-o", "json");
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
};

test("a pod's proxy is asked through its admin port", async () => {
  const { code, stdout } = await mesh.run("pc", "clusters", "shop", "--direction", "outbound");
  assert.equal(code, 0);
  assert.match(stdout, /^api\.default\.svc\.cluster\.local +80 +v1 +outbound +EDS +api_rule\.default\n/m);
  assert.deepEqual(mesh.asked, ["GET /config_dump?include_eds"]);
});

test("a saved dump of either spelling shows the same, without a mesh", async () => {
  for (const view of ["listeners", "routes", "clusters", "secret", "eds", "ecds", "all", "bootstrap"]) {
    const show = (file: string, output: string) =>
      run(["proxy-config", view, "--file", file, "-o", output], { cwd: folder });
    for (const output of ["short", "json", "yaml"]) {
      const first = await show("envoy.json", output);
      assert.equal(first.code, 0, first.stderr);
      assert.deepEqual(await show("istioctl.json", output), first);
    }
  }
});

test("ecds shows settings of filters that came by themselves", async () => {
  const { stdout } = await mesh.run("pc", "ecds", "shop");
  assert.match(stdout, /^ECDS NAME +TYPE\nsettings +envoy\.extensions\.filters\.http\.buffer\.v3\.Buffer\n$/);
});

test("JSON is the messages with camelCase names", async () => {
  const [listener] = (await json("listeners", "shop", "--port", "80")) as [{ filterChains: object[] }];
  assert.deepEqual(Object.keys(listener.filterChains[0] ?? {}), ["filterChainMatch", "filters"]);
  const [cluster] = (await json("clusters", "shop", "--port", "80")) as [{ metadata: object }];
  assert.match(JSON.stringify(cluster.metadata), /"filterMetadata":.*"default_original_port":80/);
  const [route] = (await json("routes", "shop")) as [{ virtualHosts: object[] }];
  assert.equal(route.virtualHosts.length, 2);
  const [status] = (await json("endpoints", "shop", "--status", "healthy")) as [{ hostStatuses: object[] }];
  assert.deepEqual(status.hostStatuses[0], {
    address: { socketAddress: { address: "10.0.0.2", portValue: 8080 } },
    healthStatus: { edsHealthStatus: "HEALTHY" },
  });
  assert.deepEqual(Object.keys((await json("secret", "shop")) as object), [
    "dynamicActiveSecrets",
    "dynamicWarmingSecrets",
  ]);
});

test("the bootstrap is JSON unless a summary is asked for", async () => {
  const { stdout } = await mesh.run("pc", "bootstrap", "shop");
  assert.deepEqual(Object.keys(JSON.parse(stdout)), ["bootstrap", "lastUpdated"]);
  assert.deepEqual(JSON.parse(stdout).bootstrap.node.metadata.proxy_config, { image_type: "x" });
  const short = await mesh.run("pc", "bootstrap", "shop", "-o", "short");
  assert.match(short.stdout, /^NODE +CLUSTER +ISTIO VERSION\nsidecar~10\.0\.0\.9~.* shop\.default +1\.31\.0\n$/);
});

test("all shows every table", async () => {
  const { stdout } = await mesh.run("pc", "all", "shop");
  for (const heading of ["SERVICE FQDN", "ADDRESSES", "VHOST NAME", "RESOURCE NAME"]) {
    assert.match(stdout, new RegExp(`^(NAME +)?${heading}`, "m"));
  }
});

test("log levels are shown and changed by POST", async () => {
  mesh.answers.set("/logging", "active loggers:\n  xds: debug\n");
  const { code, stdout } = await mesh.run("pc", "log", "shop", "--level", "xds:debug");
  assert.equal(code, 0);
  assert.equal(stdout, "shop.default:\nactive loggers:\n  xds: debug\n");
  assert.deepEqual(mesh.asked, ["POST /logging?paths=xds%3Adebug"]);
});

test("what cannot be read ends with one sentence", async () => {
  const sentence = async (...argv: string[]): Promise<string> => {
    const { code, stderr } = await run(["pc", ...argv], { cwd: folder });
    assert.equal(code, 1);
    return stderr;
  };
  assert.match(await sentence("listeners"), /^outrigger: name a pod, .* or a saved dump with --file\n$/);
  assert.match(await sentence("listeners", "-f", "none.json"), /^outrigger: none\.json: cannot be read\n$/);
  assert.match(await sentence("listeners", "-f", "broken.json"), /^outrigger: broken\.json: is not JSON\n$/);
  assert.match(await sentence("listeners", "shop"), /^outrigger: no mesh runs here .*\n$/);
  const unknown = await mesh.run("pc", "listeners", "nobody");
  assert.equal(unknown.stderr, 'outrigger: no pod "nobody" in namespace default; pods there: shop\n');
  const port = await mesh.run("pc", "listeners", "shop", "--proxy-admin-port", "x");
  assert.equal(port.stderr, 'outrigger: "x" is not a port from 1 to 65535\n');
  mesh.answers.set("/config_dump", 503);
  const refused = await mesh.run("pc", "listeners", "shop");
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /^outrigger: pod shop \/config_dump\?include_eds: status 503 no/);
});
