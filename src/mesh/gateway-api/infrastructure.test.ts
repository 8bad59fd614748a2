import assert from "node:assert/strict";
import { test } from "node:test";
import type { BuiltSnapshot } from "../snapshot/build.ts";
import { gatewayMesh, webGateway } from "./testing/gateway-mesh.ts";

const configMap = (name: string, data: Readonly<Record<string, string>>, metadata = ""): string => `
apiVersion: v1
kind: ConfigMap
metadata: {name: ${name}${metadata}}
data: ${JSON.stringify(data)}
`;

const defaults = (name: string, className: string, data: Readonly<Record<string, string>>): string =>
  configMap(name, data, `, namespace: istio-system, labels: {gateway.istio.io/defaults-for-class: ${className}}`);

const withParameters = (ref: string): string =>
  webGateway.replace("  listeners:", `  infrastructure: {parametersRef: ${ref}}\n  listeners:`);
const named = (name: string): string => withParameters(`{group: "", kind: ConfigMap, name: ${name}}`);

function accepted(snapshot: BuiltSnapshot): string {
  const status = snapshot.gatewayApiStatuses().find(({ kind }) => kind === "Gateway")?.status;
  const [condition] = (status?.["conditions"] ?? []) as Readonly<Record<string, string>>[];
  return `${condition?.["type"]}=${condition?.["status"]} ${condition?.["reason"]}: ${condition?.["message"]}`;
}

test("defaults of the class come first, then the Gateway's own parameters", () => {
  const snapshot = gatewayMesh(
    defaults("two", "istio", { deployment: "spec: {replicas: 2}", service: "spec: {type: ClusterIP}" }),
    defaults("other", "another", { deployment: "spec: {replicas: 9}" }),
    configMap(
      "elsewhere",
      { deployment: "spec: {replicas: 8}" },
      ", labels: {gateway.istio.io/defaults-for-class: istio}",
    ),
    configMap("own", { deployment: "metadata: {labels: {a: b}}\nspec: {replicas: 3}", podDisruptionBudget: "" }),
    named("own"),
  );
  assert.deepEqual(snapshot.gatewayDeployments().gateways[0]?.overlays, {
    deployment: [{ spec: { replicas: 2 } }, { metadata: { labels: { a: "b" } }, spec: { replicas: 3 } }],
    service: [{ spec: { type: "ClusterIP" } }],
    podDisruptionBudget: [{}],
  });
  assert.match(accepted(snapshot), /^Accepted=True/);
  assert.deepEqual([...(snapshot.resourceStates()[0]?.reasons ?? [])], []);
});

test("parameters that are not there or say what they may not are told, and nothing is made meanwhile", () => {
  const cases: [string, string, RegExp][] = [
    ["", withParameters("{group: x.io, kind: Thing, name: a}"), /x\.io\/Thing is not supported; a ConfigMap is/],
    ["x: y", named("gone"), /there is no ConfigMap default\/gone/],
    ["spec: [", named("own"), /deployment in the ConfigMap default\/own is not YAML/],
    ["- a", named("own"), /is not a mapping/],
    ["kind: Pod", named("own"), /says kind; metadata and spec can be changed/],
    ["metadata: {name: x}", named("own"), /says metadata\.name; labels and annotations can be changed/],
    ["status: {}", named("own"), /says status/],
  ];
  for (const [deployment, gateway, message] of cases) {
    const snapshot = gatewayMesh(configMap("own", { deployment }), gateway);
    assert.match(accepted(snapshot), /^Accepted=False InvalidParameters: /);
    assert.match(accepted(snapshot), message);
    assert.deepEqual(snapshot.gatewayDeployments().gateways, []);
    const [state] = snapshot.resourceStates();
    assert.match(state?.reasons.join() ?? "", /what runs the Gateway stays as it is/);
  }
});

test("parametersRef of a class is told to be without effect, with what to write", () => {
  const snapshot = gatewayMesh(`
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: istio, namespace: ""}
spec: {controllerName: istio.io/gateway-controller, parametersRef: {group: "", kind: ConfigMap, name: a, namespace: b}}
`);
  const [issue] = snapshot.resourceStates()[0]?.issues ?? [];
  assert.match(`${issue?.message} ${issue?.fix}`, /not in force.*defaults-for-class: istio/);
});
