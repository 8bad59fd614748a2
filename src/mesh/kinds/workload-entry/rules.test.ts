// Istio's validation of WorkloadEntries, rule by rule, with those of the schema.
import { test } from "node:test";
import { checkRules } from "../../objects/testing/rules.ts";
import { workloadEntry } from "./kind.ts";

const rows: Readonly<Record<string, string>> = {
  "{address: 1.2.3.4}": "",
  "{address: lon.google.com}": "",
  '{address: "unix:///lon/google/com"}': "",
  '{address: "2001:db8::1"}': "",
  '{address: ""}': "E address",
  "{}": "E address",
  "{network: net1}": "W address",
  '{address: "unix:///lon/google/com", ports: {"7777": 7777}}': "E ports",
  '{address: "unix://relative"}': "E address",
  '{address: "unix:///a/"}': "E address",
  '{address: "a b"}': "E address",
  "{address: 1.2.3.4, ports: {http: 0}}": 'E ports["http"]',
  "{address: 1.2.3.4, ports: {http: 70000}}": 'E ports["http"]',
  '{address: 1.2.3.4, ports: {"a_b": 80}}': 'E ports["a_b"]',
  '{address: 1.2.3.4, labels: {"@": b}}': "E labels",
  "{address: 1.2.3.4, labels: {a: b}, weight: 1, serviceAccount: a, locality: a/b/c}": "",
  '{address: "*.foo.com"}': "E address",
  "{address: 1.2.3.256}": "E address",
  '{address: "not a valid address"}': "E address",
  '{address: "foo.com."}': "",
};

test("what is refused and what is warned of, with the field", () => {
  checkRules(workloadEntry, rows);
});
