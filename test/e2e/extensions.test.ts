// What is added to proxies, through real sidecars: a Wasm module that the sidecar's agent gets out of a registry, and
// sessions that stay with their endpoint. One mesh for all tests.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { compilePlugin } from "#proxy/wasm/testing/compile.ts";
import { eventually, TestMesh } from "../support/mesh.ts";
import { type CurlAnswer, curl, PodShell } from "../support/pod-shell.ts";

let mesh: TestMesh;
let client: PodShell;

const plugin = (settings: string): string => `apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: { name: greeter }
spec:
  selector: { matchLabels: { app: echo, version: v1 } }
  url: oci://registry.outside:5000/team/plugin:1.0
  pluginName: add_header
  ${settings}
`;

/** Answers of both versions to one request each. */
async function hellos(): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (let i = 0; i < 50 && Object.keys(found).length < 2; i++) {
    const { status, headers } = await curl(client, "http://echo:8000/");
    found[headers["x-version"] ?? String(status)] = headers["hello"] ?? "-";
  }
  return found;
}

async function until(expected: Record<string, string>): Promise<void> {
  let found: Record<string, string> = {};
  await eventually("the answers", async () => {
    found = await hellos();
    return (
      JSON.stringify(Object.entries(found).sort()) === JSON.stringify(Object.entries(expected).sort()) || undefined
    );
  }).catch(() => assert.deepEqual(found, expected));
}

describe("extensions", { timeout: 300_000 }, () => {
  before(async () => {
    const folder = mkdtempSync(join(tmpdir(), "outrigger-e2e-"));
    const config = join(folder, "config/extensions");
    mkdirSync(config, { recursive: true });
    writeFileSync(join(config, "plugin.wasm"), await compilePlugin("sdk-add-header"));
    mesh = await TestMesh.start({ folder, copy: ["test/fixtures/workloads", "test/fixtures/extensions"] });
    client = await PodShell.open(mesh, "client", "client");
  });
  after(async () => {
    await client?.close();
    await mesh?.stop();
  });

  test("a WasmPlugin's module comes out of a registry, acts on what it selects, and goes", async () => {
    await until({ v1: "-", v2: "-" });
    mesh.writeConfig("plugin.yaml", plugin("pluginConfig: { greeting: hi }"));
    await until({ v1: '{"greeting":"hi"}', v2: "-" });
    await eventually("the state of the plugin", async () => {
      const { stdout } = await mesh.run("status", "-o", "json");
      return /greeter/.test(stdout) || undefined;
    });
    mesh.writeConfig("plugin.yaml", plugin("pluginConfig: { greeting: bye }"));
    await until({ v1: '{"greeting":"bye"}', v2: "-" });
    // An image that is not there: what runs stays.
    mesh.writeConfig("plugin.yaml", plugin("pluginConfig: { greeting: no }").replace(":1.0", ":2.0"));
    await eventually("the refusal", async () => {
      const { stdout: logs } = await mesh.run("logs", "deploy/echo-v1", "-c", "istio-proxy");
      return /plugin:2\.0 cannot be had: .*manifests\/2\.0 answers 404/.test(logs) || undefined;
    });
    assert.deepEqual(await hellos(), { v1: '{"greeting":"bye"}', v2: "-" });
    mesh.writeConfig("plugin.yaml", "");
    await until({ v1: "-", v2: "-" });
  });

  test("sessionPersistence: requests of a session go to the endpoint at which it began", async () => {
    const ask = (path: string, options = ""): Promise<CurlAnswer> => curl(client, `${options} http://echo:8080${path}`);
    /** What makes a request one of the session, by the version that the session is at. */
    const sessions = async (
      path: string,
      name: string,
      option: (value: string) => string,
    ): Promise<Map<string, string>> => {
      const found = new Map<string, string>();
      for (let i = 0; i < 60 && found.size < 2; i++) {
        const { status, headers } = await ask(path);
        assert.equal(status, 200);
        found.set(headers["x-version"] ?? "", option(headers[name] ?? ""));
      }
      return found;
    };
    const cookies = await sessions("/by-cookie", "set-cookie", (value) => `-H 'cookie: ${value.split(";", 1)[0]}'`);
    const headers = await sessions("/by-header", "x-session", (value) => `-H 'x-session: ${value}'`);
    for (const [path, kept] of [
      ["/by-cookie", cookies],
      ["/by-header", headers],
    ] as const) {
      assert.deepEqual([...kept.keys()].sort(), ["v1", "v2"], `sessions begin at both endpoints: ${path}`);
      for (const [version, option] of kept) {
        for (let i = 0; i < 8; i++) assert.equal((await ask(path, option)).headers["x-version"], version, path);
      }
    }
    const free = new Set<string | undefined>();
    for (let i = 0; i < 60 && free.size < 2; i++) free.add((await ask("/", cookies.get("v1"))).headers["x-version"]);
    assert.equal(free.size, 2, "a rule without sessions balances");
  });
});
