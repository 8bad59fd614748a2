import assert from "node:assert/strict";
import { test } from "node:test";
import { formatIssue } from "#base/issue.ts";
import { meshFromYaml } from "../../snapshot/testing/mesh-from-yaml.ts";

const problems = (spec: string): string[] => {
  const yaml = `apiVersion: extensions.istio.io/v1alpha1\nkind: TrafficExtension\nmetadata: {name: x}\nspec: ${spec}\n`;
  return meshFromYaml(yaml).issues.map((issue) => formatIssue(issue).replace(/^mesh\.yaml:\d+:\d+ /, ""));
};
const notInForce = "warning OUT0003 TrafficExtension is accepted and not in force yet: the extension is not loaded";

test("a script or a module, and not both, is accepted and said to have no effect", () => {
  const script = "{lua: {inlineCode: 'function envoy_on_response(h) end'}}";
  assert.deepEqual(problems(script), [notInForce]);
  assert.deepEqual(
    problems("{wasm: {url: 'oci://a/b:1'}, phase: AUTHN, match: [{mode: CLIENT, ports: [{number: 80}]}]}"),
    [notInForce],
  );
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
