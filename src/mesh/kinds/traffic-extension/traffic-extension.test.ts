import assert from "node:assert/strict";
import { test } from "node:test";
import { formatIssue } from "#base/issue.ts";
import { meshFromYaml } from "../../snapshot/testing/mesh-from-yaml.ts";

const problems = (spec: string): string[] => {
  const yaml = `apiVersion: extensions.istio.io/v1alpha1\nkind: TrafficExtension\nmetadata: {name: x}\nspec: ${spec}\n`;
  return meshFromYaml(yaml).issues.map((issue) => formatIssue(issue).replace(/^mesh\.yaml:\d+:\d+ /, ""));
};

test("a script or a module, and not both, is accepted; a script is said to have no effect", () => {
  const script = "{lua: {inlineCode: 'function envoy_on_response(h) end'}}";
  assert.match(problems(script)[0] ?? "", /^warning OUT0003 spec\.lua: Lua scripts are not run/);
  const module = "{wasm: {url: 'https://a/b'}, phase: AUTHN, match: [{mode: CLIENT, ports: [{number: 80}]}]}";
  assert.deepEqual(problems(module), []);
  assert.match(problems("{}")[0] ?? "", /error IST0106 spec: exactly one of wasm and lua is needed/);
  assert.match(problems("{lua: {inlineCode: 'envoy_on_request'}, wasm: {url: a}}")[0] ?? "", /exactly one/);
});

test("a script that Envoy would never call, and modules without an address, are refused", () => {
  assert.match(
    problems("{lua: {inlineCode: 'function main() end'}}")[0] ?? "",
    /spec\.lua\.inlineCode: the script defines/,
  );
  assert.match(problems("{lua: {}}")[0] ?? "", /spec\.lua\.inlineCode: the script is empty/);
  assert.match(problems("{wasm: {}}")[0] ?? "", /spec\.wasm\.url: the address of the module is missing/);
  assert.match(problems("{wasm: {url: 'ftp://a/b'}}")[0] ?? "", /"ftp:\/\/a\/b" is not the address of a module/);
});
