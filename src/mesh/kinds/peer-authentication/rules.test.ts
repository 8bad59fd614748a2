// Istio's validation of PeerAuthentications, rule by rule, with those of the schema.
import { test } from "node:test";
import { checkRules } from "../../objects/testing/rules.ts";
import { peerAuthentication } from "./kind.ts";

const rows: Readonly<Record<string, string>> = {
  "{}": "",
  "{mtls: {mode: STRICT}}": "",
  "{mtls: {mode: strict}}": "E mtls.mode",
  "{portLevelMtls: {8080: {mode: STRICT}}}": "E portLevelMtls",
  "{selector: {matchLabels: {a: b}}, portLevelMtls: {}}": "E portLevelMtls",
  "{selector: {matchLabels: {a: b}}, portLevelMtls: {8080: {mode: STRICT}}}": "",
  "{selector: {matchLabels: {a: b}}, portLevelMtls: {0: {mode: STRICT}}}": 'E portLevelMtls["0"]',
  "{selector: {matchLabels: {a: b}}, portLevelMtls: {70000: {mode: STRICT}}}": 'E portLevelMtls["70000"]',
  "{selector: {matchLabels: {a: b}}, portLevelMtls: {foo: {mode: STRICT}}}": 'E portLevelMtls["foo"]',
  "{selector: {matchLabels: {}}}": "W selector",
  '{selector: {matchLabels: {a: "*"}}}': "E selector.matchLabels",
};

test("what is refused and what is warned of, with the field", () => {
  checkRules(peerAuthentication, rows);
});
