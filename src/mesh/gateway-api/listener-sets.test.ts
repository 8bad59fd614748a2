import assert from "node:assert/strict";
import { test } from "node:test";
import type { BuiltSnapshot } from "../snapshot/build.ts";
import { compiled, gatewayMesh, httpRoute, originOf, outcome, webGateway } from "./testing/gateway-mesh.ts";

const open = webGateway.replace("  listeners:", "  allowedListeners: {namespaces: {from: All}}\n  listeners:");

function listenerSet(name: string, listeners: string, namespace = "other"): string {
  return `
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: ${name}, namespace: ${namespace}}
spec: {parentRef: {name: web, namespace: default}, listeners: [${listeners}]}
`;
}

const more = "{name: more, port: 443, protocol: HTTP}";
const route = httpRoute(
  "r",
  "parentRefs: [{kind: ListenerSet, name: set}]\nrules: [{backendRefs: [{name: d, port: 80}]}]",
  ", namespace: other",
);

interface Status {
  readonly conditions: { type: string; status: string; reason: string }[];
  readonly listeners: { name: string; attachedRoutes: number }[];
  readonly attachedListenerSets?: number;
}

function statusOf(snapshot: BuiltSnapshot, kind: string): { text: string; status: Status } {
  const status = snapshot.gatewayApiStatuses().find((item) => item.kind === kind)?.status as unknown as Status;
  const text = status.conditions.map((item) => `${item.type}=${item.status}(${item.reason})`).join(" ");
  return { text, status };
}

test("a Gateway that allows it serves the listeners of a ListenerSet, and routes attach to them by its name", () => {
  const snapshot = gatewayMesh(open, listenerSet("set", more), route);
  const routes = compiled(snapshot).routes.get("http.443");
  assert.equal(outcome(routes), "d /");
  assert.match(originOf(routes), /^HTTPRoute other\/r /);
  assert.equal(compiled(snapshot).routes.get("http.80")?.virtualHosts[0]?.routes.length, 0);
  const { text, status } = statusOf(snapshot, "ListenerSet");
  assert.equal(text, "Accepted=True(Accepted) Programmed=True(Programmed)");
  assert.deepEqual(
    status.listeners.map(({ name, attachedRoutes }) => [name, attachedRoutes]),
    [["more", 1]],
  );
  assert.equal(statusOf(snapshot, "Gateway").status.attachedListenerSets, 1);
  assert.deepEqual(
    snapshot.gatewayDeployments().gateways[0]?.ports.map(({ number }) => number),
    [80, 443],
  );
});

test("a Gateway takes no listeners unless it says whose, and the ListenerSet and its routes say so", () => {
  for (const gateway of [webGateway, open.replace("from: All}}\n  listeners", "from: Same}}\n  listeners")]) {
    const snapshot = gatewayMesh(gateway, listenerSet("set", more), route);
    assert.equal(compiled(snapshot).routes.get("http.443"), undefined);
    assert.equal(statusOf(snapshot, "ListenerSet").text, "Accepted=False(NotAllowed) Programmed=False(NotAllowed)");
    assert.deepEqual(
      snapshot.resourceStates().map(({ origin, state }) => `${origin.kind} ${state}`),
      ["Gateway.gateway.networking.k8s.io in force", "ListenerSet matches nothing", "HTTPRoute matches nothing"],
    );
  }
});

test("the Gateway's own listener stays where a ListenerSet wants the same port and host", () => {
  const snapshot = gatewayMesh(open, listenerSet("set", "{name: again, port: 80, protocol: HTTP}"));
  assert.equal(
    statusOf(snapshot, "ListenerSet").text,
    "Accepted=False(ListenersNotValid) Programmed=False(ListenersNotValid)",
  );
  const state = snapshot.resourceStates().find(({ origin }) => origin.kind === "ListenerSet");
  assert.deepEqual(state?.reasons, ["port 80 already has the hostname *, for the listener http"]);
});
