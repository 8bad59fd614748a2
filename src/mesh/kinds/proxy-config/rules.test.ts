// Istio's validation of ProxyConfigs, rule by rule, with those of the schema.
import { test } from "node:test";
import { checkRules } from "../../objects/testing/rules.ts";
import { proxyConfig } from "./kind.ts";

const rows: Readonly<Record<string, string>> = {
  "{}": "",
  "{concurrency: 0}": "",
  "{concurrency: 2}": "",
  "{concurrency: -1}": "E concurrency",
  "{selector: {matchLabels: {a: b}}, image: {imageType: distroless}, environmentVariables: {A: b}}": "",
  "{selector: {matchLabels: {}}}": "W selector",
  '{selector: {matchLabels: {a: "*"}}}': "E selector.matchLabels",
  "{environmentVariables: {A: 1}}": "E environmentVariables.A",
};

test("what is refused and what is warned of, with the field", () => {
  checkRules(proxyConfig, rows);
});
