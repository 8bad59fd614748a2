import assert from "node:assert/strict";
import { test } from "node:test";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { PluginConfigSchema } from "#wire/gen/envoy/extensions/wasm/v3/wasm_pb.ts";
import { Problems } from "../config/problems.ts";
import { anyRegistry } from "../xds/any-registry.ts";
import { parsePluginConfig, type WasmPluginConfig } from "./plugin-config.ts";

interface Parsed {
  readonly config: WasmPluginConfig | null;
  readonly problems: string[];
}

function parse(json: { readonly [key: string]: JsonValue }): Parsed {
  const problems = new Problems("listener", "test");
  const message = fromJson(PluginConfigSchema, json, { registry: anyRegistry() });
  const config = parsePluginConfig(message, "config", problems);
  const told = problems.done(null).issues.map(({ path, message: words }) => `${path}: ${words}`);
  return { config, problems: told };
}

const file = { local: { filename: "/etc/plugin.wasm" } };
const type = "type.googleapis.com/google.protobuf.";

test("a configuration as Istio writes it", () => {
  const { config, problems } = parse({
    name: "default.auth",
    rootId: "auth",
    vmConfig: {
      vmId: "v",
      runtime: "envoy.wasm.runtime.v8",
      code: file,
      environmentVariables: { hostEnvKeys: ["HOME"], keyValues: { MODE: "on" } },
      configuration: { "@type": `${type}StringValue`, value: "vm words" },
    },
    configuration: { "@type": `${type}Struct`, value: { limit: 5 } },
    failOpen: true,
  });
  assert.deepEqual(problems, []);
  assert.equal(config?.name, "default.auth");
  assert.equal(config.rootId, "auth");
  assert.equal(config.failurePolicy, "fail_open");
  assert.equal(config.allowsHeadersStop, false);
  assert.deepEqual(JSON.parse(config.configuration.toString()), { limit: 5 });
  assert.equal(config.vm.configuration.toString(), "vm words");
  assert.deepEqual(config.vm.code, { type: "file", path: "/etc/plugin.wasm" });
  assert.deepEqual(config.vm.hostEnvironmentKeys, ["HOME"]);
  assert.deepEqual([...config.vm.environment], [["MODE", "on"]]);
  assert.equal(config.vm.allowedCapabilities, null);
});

test("what is left out has Envoy's defaults", () => {
  const { config } = parse({ vmConfig: { code: file } });
  assert.equal(config?.failurePolicy, "fail_closed");
  assert.equal(config.reloadMs, 1000);
  assert.equal(config.configuration.length, 0);
});

test("failure policies, the pause between reloads, and the stop of the head alone", () => {
  const { config } = parse({
    vmConfig: { code: file },
    failurePolicy: "FAIL_RELOAD",
    reloadConfig: { backoff: { baseInterval: "3s" } },
    allowOnHeadersStopIteration: true,
    capabilityRestrictionConfig: { allowedCapabilities: { proxy_log: {} } },
  });
  assert.equal(config?.failurePolicy, "fail_reload");
  assert.equal(config.reloadMs, 3000);
  assert.equal(config.allowsHeadersStop, true);
  assert.deepEqual([...(config.vm.allowedCapabilities ?? [])], ["proxy_log"]);
  const both = parse({ vmConfig: { code: file }, failOpen: true, failurePolicy: "FAIL_CLOSED" });
  assert.deepEqual(both.problems, ["config.failure_policy: cannot be set together with fail_open"]);
});

test("remote code needs a cluster, a URI and a hash", () => {
  const sha256 = "AB".repeat(32);
  const remote = { httpUri: { uri: "https://modules.test/p.wasm", cluster: "modules", timeout: "10s" }, sha256 };
  const { config } = parse({
    vmConfig: { code: { remote: { ...remote, retryPolicy: { numRetries: 4, retryBackOff: { baseInterval: "2s" } } } } },
  });
  assert.deepEqual(config?.vm.code, {
    type: "remote",
    uri: "https://modules.test/p.wasm",
    cluster: "modules",
    timeoutMs: 10_000,
    sha256: sha256.toLowerCase(),
    retries: 4,
    backoffBaseMs: 2000,
    backoffMaxMs: 20_000,
  });
  const code = (value: JsonValue): string[] => parse({ vmConfig: { code: { remote: value } } }).problems;
  assert.deepEqual(code({ ...remote, sha256: "abc" }), [
    "config.vm_config.code.remote.sha256: is not a SHA-256 in hexadecimal",
  ]);
  assert.deepEqual(code({ sha256 }), ["config.vm_config.code.remote.http_uri: needs a URI and a cluster"]);
});

test("what this proxy does not do is told", () => {
  const vm = (value: { readonly [key: string]: JsonValue }): string[] =>
    parse({ vmConfig: { code: file, ...value } }).problems;
  assert.match(vm({ runtime: "envoy.wasm.runtime.null" }).join(), /compiled into Envoy is not supported/);
  assert.match(vm({ runtime: "envoy.wasm.runtime.wasmtime" }).join(), /the module runs on V8/);
  assert.match(vm({ allowPrecompiled: true }).join(), /precompiled code in a module is not supported.*left out/);
  assert.match(vm({ nackOnCodeCacheMiss: true }).join(), /requests wait until the code is there/);
  assert.match(vm({ code: { local: { inlineString: "plugin" } } }).join(), /code as text/);
  assert.match(vm({ code: {} }).join(), /config\.vm_config\.code: is missing/);
  const conflict = { environmentVariables: { hostEnvKeys: ["A"], keyValues: { A: "1" } } };
  assert.match(vm(conflict).join(), /"A" is both given and taken from the host/);
  assert.deepEqual(parse({}).problems, ["config.vm_config: is missing"]);
});
