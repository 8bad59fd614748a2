import assert from "node:assert/strict";
import { test } from "node:test";
import type { TargetedWorkload } from "../../objects/fields/policy-target.ts";
import type { Labels } from "../../objects/fields/selector.ts";
import type { MeshObject } from "../../objects/mesh-object.ts";
import { objectOf, problemsOf } from "../../objects/testing/objects.ts";
import { authorizationPolicy } from "./kind.ts";
import { applicablePolicies } from "./resolve.ts";
import type { AuthorizationPolicySpec } from "./spec.ts";

const policy = (name: string, spec: unknown): MeshObject<AuthorizationPolicySpec> =>
  objectOf(authorizationPolicy, { name, spec });
const names = (policies: readonly MeshObject<AuthorizationPolicySpec>[]): string[] => policies.map((item) => item.name);
const anything = [{}];
const workload = (labels: Labels): TargetedWorkload => ({
  namespace: "default",
  labels,
  rootNamespace: "istio-system",
});

test("policies of the root namespace and of the workload's namespace add up, by action", () => {
  const root = [policy("root-deny", { action: "DENY", rules: anything }), policy("root-allow", { rules: anything })];
  const own = [
    policy("web", { selector: { matchLabels: { app: "web" } }, rules: anything }),
    policy("other", { selector: { matchLabels: { app: "other" } }, rules: anything }),
    policy("audit", { action: "AUDIT", rules: anything }),
    policy("custom", { action: "CUSTOM", provider: { name: "p" }, rules: anything }),
  ];
  const applicable = applicablePolicies(root, own, workload({ app: "web" }));
  assert.deepEqual(names(applicable.deny), ["root-deny"]);
  assert.deepEqual(names(applicable.allow), ["root-allow", "web"]);
  assert.deepEqual(names(applicable.audit), ["audit"]);
  assert.deepEqual(names(applicable.custom), ["custom"]);
});

test("a policy with targetRefs is for a gateway of its namespace, or from the root namespace for a class of gateways", () => {
  const target = { group: "gateway.networking.k8s.io", kind: "Gateway", name: "gw" };
  const all = [
    policy("a", { targetRefs: [{ ...target, name: "other" }, target], rules: anything }),
    policy("b", { targetRef: target, rules: anything }),
    policy("c", { targetRefs: [{ ...target, kind: "GatewayClass", name: "istio" }], rules: anything }),
    policy("d", { targetRefs: [{ group: "", kind: "Service", name: "gw" }], rules: anything }),
  ];
  const pod = {
    "gateway.networking.k8s.io/gateway-name": "gw",
    "gateway.networking.k8s.io/gateway-class-name": "istio",
  };
  assert.deepEqual(names(applicablePolicies([], all, workload(pod)).allow), ["a", "b"]);
  const fromRoot = applicablePolicies(all, [], { namespace: "web", labels: pod, rootNamespace: "default" });
  assert.deepEqual(names(fromRoot.allow), ["c"], "a class from the root namespace, gateways of the own one");
  assert.deepEqual(names(applicablePolicies([], all, workload({})).allow), []);
});

test("rules that can never work are refused", () => {
  const cases: [unknown, string][] = [
    [{ action: "DENY" }, "spec.rules: DENY without rules never triggers"],
    [{ action: "CUSTOM", rules: anything }, "spec.provider: CUSTOM needs provider.name"],
    [{ provider: { name: "p" }, rules: anything }, "spec.provider: provider is for CUSTOM, not for ALLOW"],
    [{ rules: [{ from: [{}] }] }, "spec.rules[0].from[0]: source is missing"],
    [{ rules: [{ from: [{ source: {} }] }] }, "spec.rules[0].from[0].source: the source says nothing"],
    [
      { rules: [{ to: [{ operation: { ports: ["http"] } }] }] },
      'spec.rules[0].to[0].operation.ports[0]: "http" is not a port',
    ],
    [
      { rules: [{ to: [{ operation: { paths: ["/a*b"] } }] }] },
      'warning spec.rules[0].to[0].operation.paths[0]: "/a*b": * stands for anything only alone, at the start or at the end; the others are ordinary characters',
    ],
    [
      { rules: [{ when: [{ key: "source.ipp", values: ["a"] }] }] },
      'spec.rules[0].when[0].key: unknown key "source.ipp"',
    ],
    [{ rules: [{ when: [{ key: "source.ip" }] }] }, "spec.rules[0].when[0]: values or notValues is needed"],
    [
      { rules: [{ from: [{ source: { ipBlocks: ["10.0.0.0/99"] } }] }] },
      'spec.rules[0].from[0].source.ipBlocks[0]: "10.0.0.0/99" is not an IP address or a CIDR block',
    ],
  ];
  for (const [spec, expected] of cases) assert.deepEqual(problemsOf(authorizationPolicy, spec), [expected]);
});

test("an ALLOW policy without rules is valid: it denies everything", () => {
  assert.deepEqual(problemsOf(authorizationPolicy, {}), []);
});

test("dry-run is for ALLOW and DENY", () => {
  const spec = { action: "AUDIT", rules: anything };
  assert.deepEqual(problemsOf(authorizationPolicy, spec, { "istio.io/dry-run": "true" }), [
    'metadata.annotations["istio.io/dry-run"]: dry-run is for ALLOW and DENY, not for AUDIT',
  ]);
  const deny = { action: "DENY", rules: anything };
  for (const value of ["true", "True", "1", "f", "false"]) {
    assert.deepEqual(problemsOf(authorizationPolicy, deny, { "istio.io/dry-run": value }), [], value);
  }
  assert.deepEqual(problemsOf(authorizationPolicy, deny, { "istio.io/dry-run": "yes" }), [
    'metadata.annotations["istio.io/dry-run"]: "yes" is neither true nor false',
  ]);
});
