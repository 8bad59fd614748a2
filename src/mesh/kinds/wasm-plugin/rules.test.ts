// Istio's validation of WasmPlugins, rule by rule, with those of the schema.
import { test } from "node:test";
import { checkRules } from "../../objects/testing/rules.ts";
import { wasmPlugin } from "./kind.ts";

const rows: Readonly<Record<string, string>> = {
  "{}": "E url",
  '{url: ""}': "E url",
  '{url: "oci://a.b/c:1"}': "",
  '{url: "a.b/c:1"}': "",
  '{url: "file:///a"}': "",
  '{url: "https://a.b/c"}': "",
  '{url: "ftp://test.com"}': "E url",
  '{url: ":/"}': "E url",
  '{url: "https://a.b", sha256: "a"}': "E sha256",
  '{url: "https://a.b", sha256: "A01234567890abcdef01234567890abcdef01234567890abcdef01234567890a"}': "E sha256",
  '{url: "https://a.b", sha256: "a01234567890abcdef01234567890abcdef01234567890abcdef01234567890a"}': "",
  '{url: "https://a.b", vmConfig: {env: [{name: a, value: b},{name: a, value: c}]}}': "E vmConfig.env[1].name",
  '{url: "https://a.b", vmConfig: {env: [{name: ""}]}}': "E vmConfig.env[0].name",
  '{url: "https://a.b", vmConfig: {env: [{name: a, valueFrom: HOST, value: b}]}}': "E vmConfig.env[0].value",
  '{url: "https://a.b", match: [{ports: [{number: 0}]}]}': "E match[0].ports[0].number",
  '{url: "https://a.b", match: [{ports: [{number: 70000}]}]}': "E match[0].ports[0].number",
  '{url: "https://a.b", match: [{ports: [{number: 80}], mode: CLIENT}]}': "",
  '{url: "https://a.b", selector: {matchLabels: {a: b}}, targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: a}]}':
    "E selector",
  '{url: "https://a.b", selector: {matchLabels: {}}}': "W selector",
};

test("what is refused and what is warned of, with the field", () => {
  checkRules(wasmPlugin, rows);
});
