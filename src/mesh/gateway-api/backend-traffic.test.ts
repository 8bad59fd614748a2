import assert from "node:assert/strict";
import { test } from "node:test";
import type { BuiltSnapshot } from "../snapshot/build.ts";
import { compiled, gatewayMesh } from "./testing/gateway-mesh.ts";

const policy = (name: string, spec: string, metadata = ""): string => `
apiVersion: gateway.networking.x-k8s.io/v1alpha1
kind: XBackendTrafficPolicy
metadata: {name: ${name}${metadata}}
spec: {${spec}}
`;
const tlsPolicy = `
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: tls}
spec:
  targetRefs: [{group: "", kind: Service, name: a, sectionName: http}]
  validation: {wellKnownCACertificates: System, hostname: a.example.com}
`;

const target = (name: string): string => `targetRefs: [{group: "", kind: Service, name: ${name}}]`;
const created = (day: number): string => `, creationTimestamp: "2026-01-0${day}T00:00:00Z"`;

/** `30% of open requests, 5 at least`, or nothing. */
function budgetOf(snapshot: BuiltSnapshot, service: string, port = 80): string | undefined {
  const cluster = compiled(snapshot).clusters.get(`outbound|${port}||${service}.default.svc.cluster.local`);
  const budget = cluster?.circuitBreakers?.thresholds[0]?.retryBudget;
  return budget && `${budget.budgetPercent?.value}% of open requests, ${budget.minRetryConcurrency} at least`;
}

function stateOf(snapshot: BuiltSnapshot, name: string): string {
  const found = snapshot.resourceStates().find(({ origin }) => origin.name === name);
  return `${found?.state}: ${found?.reasons.join()}`;
}

test("retries to a Service stay within the policy's budget, beside a policy for TLS", () => {
  const constraint = "retryConstraint: {budget: {percent: 30, interval: 10s}, minRetryRate: {count: 5, interval: 1s}}";
  const snapshot = gatewayMesh(policy("p", `${target("a")}, ${constraint}`), tlsPolicy);
  for (const port of [80, 90]) assert.equal(budgetOf(snapshot, "a", port), "30% of open requests, 5 at least");
  assert.equal(budgetOf(snapshot, "b"), undefined);
  const cluster = compiled(snapshot).clusters.get("outbound|80||a.default.svc.cluster.local");
  assert.equal(cluster?.transportSocket?.name, "envoy.transport_sockets.tls");
  assert.equal(stateOf(snapshot, "p"), "in force: ");
  assert.equal(
    budgetOf(gatewayMesh(policy("p", `${target("a")}, retryConstraint: {}`)), "a"),
    "20% of open requests, 10 at least",
  );
});

test("of two policies for one Service the older counts, and what is not there or not kept is told", () => {
  const of = (percent: number): string => `${target("a")}, retryConstraint: {budget: {percent: ${percent}}}`;
  const snapshot = gatewayMesh(
    policy("late", of(10), created(2)),
    policy("early", of(40), created(1)),
    policy("gone", `${target("nothing")}, retryConstraint: {}`),
    policy("entry", "targetRefs: [{group: networking.istio.io, kind: ServiceEntry, name: e}], retryConstraint: {}"),
    policy("session", `${target("b")}, sessionPersistence: {sessionName: s}`),
  );
  assert.equal(budgetOf(snapshot, "a"), "40% of open requests, 10 at least");
  assert.match(
    stateOf(snapshot, "late"),
    /^matches nothing: .*XBackendTrafficPolicy early, which is older, is about retries/,
  );
  assert.match(stateOf(snapshot, "gone"), /^matches nothing: .*there is no Service default\/nothing/);
  assert.match(stateOf(snapshot, "entry"), /^matches nothing: .*cannot be about networking\.istio\.io\/ServiceEntry/);
  assert.match(stateOf(snapshot, "session"), /^partly in force: .*sessions of a policy are not kept/);
  const statuses = snapshot.gatewayApiStatuses().filter(({ kind }) => kind === "XBackendTrafficPolicy");
  const accepted = statuses.map(({ name, status }) => {
    const [ancestor] = status["ancestors"] as { conditions: { type: string; status: string; reason: string }[] }[];
    return `${name} ${ancestor?.conditions.map(({ type, reason, ...rest }) => `${type}=${rest.status} ${reason}`).join()}`;
  });
  assert.deepEqual(accepted.sort(), [
    "early Accepted=True Accepted",
    "entry Accepted=False TargetNotFound",
    "gone Accepted=False TargetNotFound",
    "late Accepted=False Conflicted",
    "session Accepted=True Accepted",
  ]);
});

test("policies with the annotation for other controllers have no effect, no status and no conflict", () => {
  const ignored = ', annotations: {istio.io/ignore-policy-attachment: "true"}';
  const of = (percent: number): string => `${target("a")}, retryConstraint: {budget: {percent: ${percent}}}`;
  const snapshot = gatewayMesh(
    policy("other", of(10), created(1) + ignored),
    policy("ours", of(40), created(2)),
    tlsPolicy.replace("{name: tls}", `{name: tls${ignored}}`),
  );
  assert.equal(budgetOf(snapshot, "a"), "40% of open requests, 10 at least");
  assert.notEqual(
    compiled(snapshot).clusters.get("outbound|80||a.default.svc.cluster.local")?.transportSocket?.name,
    "envoy.transport_sockets.tls",
  );
  const policies = snapshot.gatewayApiStatuses().filter(({ kind }) => kind.endsWith("Policy"));
  assert.deepEqual(
    policies.map(({ name }) => name),
    ["ours"],
  );
  assert.match(stateOf(snapshot, "other"), /^not in force: .*another controller/);
});
