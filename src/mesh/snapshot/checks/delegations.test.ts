import assert from "node:assert/strict";
import { test } from "node:test";
import { meshFromYaml } from "../testing/mesh-from-yaml.ts";

const service = `
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80}]}
---`;

function object(name: string, spec: string, namespace = "default"): string {
  return `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ${name}, namespace: ${namespace}}
spec: ${spec}
---`;
}

const to = "route: [{destination: {host: shop.default.svc.cluster.local}}]";
const root = (delegate: string, match = ""): string =>
  object("root", `{hosts: [shop], http: [{${match}delegate: ${delegate}}, {${to}}]}`);

function states(...yaml: string[]): string[] {
  return meshFromYaml([service, ...yaml].join("\n"))
    .resourceStates()
    .map(({ origin, state, reasons }) => [`${origin.name}: ${state}`, ...reasons].join("; "));
}

test("a root and its delegate are in force, and each says when it is not", () => {
  const part = object("part", `{http: [{${to}}]}`);
  assert.deepEqual(states(root("{name: part}"), part), ["root: in force", "part: in force"]);
  assert.deepEqual(states(root("{name: prat}"), part), [
    "root: partly in force; there is no VirtualService default/prat to delegate to",
    "part: matches nothing; a VirtualService without hosts takes no requests of its own, and none delegates to it",
  ]);
  const hidden = object("part", `{exportTo: ["."], http: [{${to}}]}`, "team");
  const [rootState, partState] = states(root("{name: part, namespace: team}"), hidden);
  assert.match(
    rootState ?? "",
    /^root: partly in force; VirtualService team\/part.* is not exported to namespace default/,
  );
  assert.match(partState ?? "", /^part: matches nothing/);
  const own = object("part", `{hosts: [other], http: [{${to}}]}`);
  assert.match(states(root("{name: part}"), own)[0] ?? "", /has hosts of its own, so nothing can be delegated to it/);
});

test("a route that the root's matches exclude is reported at the delegate, with the root's place", () => {
  const part = object("part", `{http: [{match: [{uri: {exact: /b}}], ${to}}, {${to}}]}`);
  const snapshot = meshFromYaml([service, root("{name: part}", "match: [{uri: {prefix: /a}}], "), part].join("\n"));
  const state = snapshot.resourceStates().find(({ origin }) => origin.name === "part");
  assert.equal(state?.state, "partly in force");
  const [issue] = state?.issues ?? [];
  assert.equal(issue?.code, "OUT0016");
  assert.match(
    issue?.message ?? "",
    /left out where VirtualService default\/root \(mesh.yaml:\d+\) delegates in http\[0\]/,
  );
});
