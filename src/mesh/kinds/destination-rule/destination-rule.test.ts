import assert from "node:assert/strict";
import { test } from "node:test";
import type { MeshObject } from "../../objects/mesh-object.ts";
import { objectOf, problemsOf } from "../../objects/testing/objects.ts";
import { destinationRule } from "./kind.ts";
import { mergeDestinationRules, ruleForClient } from "./resolve.ts";
import type { DestinationRuleSpec } from "./spec.ts";

const rule = (name: string, spec: object): MeshObject<DestinationRuleSpec> =>
  objectOf(destinationRule, { name, spec: { host: "reviews", ...spec } });
const policy = (simple: string): object => ({ trafficPolicy: { loadBalancer: { simple } } });

test("rules for one host join their subsets, and the oldest traffic policy stands", () => {
  const [merged, ...others] = mergeDestinationRules([
    rule("a", { subsets: [{ name: "v1", labels: { from: "a" } }] }),
    rule("b", { ...policy("RANDOM"), subsets: [{ name: "v1", labels: { from: "b" } }, { name: "v2" }] }),
    rule("c", policy("ROUND_ROBIN")),
  ]);
  assert.equal(others.length, 0);
  assert.equal(merged?.host, "reviews.default.svc.cluster.local");
  assert.equal(merged?.trafficPolicy?.loadBalancer?.simple, "RANDOM");
  assert.deepEqual(
    merged?.subsets.map((subset) => [subset.name, subset.rule.name, subset.labels]),
    [
      ["v1", "a", { from: "a" }],
      ["v2", "b", {}],
    ],
  );
});

test("rules with another exportTo or selector stay apart", () => {
  const merged = mergeDestinationRules([rule("a", {}), rule("b", { exportTo: ["."] }), rule("c", { host: "ratings" })]);
  assert.equal(merged.length, 3);
});

test("a rule whose selector picks the client comes before the rule for everybody", () => {
  const merged = mergeDestinationRules([
    rule("all", policy("RANDOM")),
    rule("web", { ...policy("ROUND_ROBIN"), workloadSelector: { matchLabels: { app: "web" } }, exportTo: ["."] }),
  ]);
  assert.equal(ruleForClient(merged, { app: "web" })?.rules[0]?.name, "web");
  assert.equal(ruleForClient(merged, { app: "api" })?.rules[0]?.name, "all");
  assert.equal(ruleForClient(merged, undefined)?.rules[0]?.name, "all");
});

test("policies that say nothing or contradict themselves are refused", () => {
  const cases: [object, string][] = [
    [{ trafficPolicy: {} }, "spec.trafficPolicy: the trafficPolicy says nothing"],
    [{ trafficPolicy: { connectionPool: {} } }, "spec.trafficPolicy.connectionPool: the connectionPool says nothing"],
    [{ subsets: [{ name: "a" }, { name: "a" }] }, "spec.subsets[1].name: the subset a stands twice"],
    [{ subsets: [{}] }, "spec.subsets[0]: the subset needs a name"],
    [
      { trafficPolicy: { portLevelSettings: [{ tls: { mode: "DISABLE" } }] } },
      "spec.trafficPolicy.portLevelSettings[0].port: a port is needed",
    ],
    [
      { trafficPolicy: { loadBalancer: { consistentHash: { useSourceIp: true, maglev: { tableSize: 100 } } } } },
      "spec.trafficPolicy.loadBalancer.consistentHash.maglev.tableSize: 100 is not a prime number below 5000011",
    ],
    [
      {
        trafficPolicy: { loadBalancer: { localityLbSetting: { distribute: [{ from: "a/b", to: { c: 40, d: 50 } }] } } },
      },
      "spec.trafficPolicy.loadBalancer.localityLbSetting.distribute[0].to: the weights add up to 90, not 100",
    ],
    [
      { trafficPolicy: { tls: { mode: "ISTIO_MUTUAL", clientCertificate: "/a" } } },
      "warning spec.trafficPolicy.tls.clientCertificate: clientCertificate has no effect with ISTIO_MUTUAL: the mesh gives the certificates",
    ],
    [
      { workloadSelector: { matchLabels: { a: "b" } }, exportTo: ["*"] },
      "spec.exportTo: a rule with a workloadSelector is for its own namespace only",
    ],
    [{ exportTo: ["*", "."] }, 'spec.exportTo: "*" cannot be combined with other entries'],
    [{ exportTo: [".", "default"] }, 'spec.exportTo[1]: "default" says the same as an earlier entry'],
  ];
  for (const [spec, expected] of cases) {
    assert.deepEqual(problemsOf(destinationRule, { host: "reviews", ...spec }), [expected]);
  }
});
