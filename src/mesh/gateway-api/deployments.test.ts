import assert from "node:assert/strict";
import { test } from "node:test";
import type { ManagedGateway } from "./deployments.ts";
import { gatewayMesh, webGateway } from "./testing/gateway-mesh.ts";

function deployed(...documents: string[]): ManagedGateway | undefined {
  return gatewayMesh(...documents).gatewayDeployments().gateways[0];
}

test("what runs a Gateway is named after it and its class, and looks like it", () => {
  const labelled = webGateway.replace(
    "{name: web}",
    '{name: web, labels: {team: edge}, annotations: {cost: low, outrigger.dev/source: "{}", networking.istio.io/service-type: ClusterIP}}',
  );
  const made = deployed(labelled);
  assert.deepEqual(
    [made?.deploymentName, made?.serviceAccount, made?.serviceType, made?.labels, made?.annotations],
    ["web-istio", "web-istio", "ClusterIP", { team: "edge" }, { cost: "low" }],
  );
  assert.deepEqual(made?.ports, [{ name: "http", number: 80, appProtocol: "http" }]);
});

test("annotations choose other names, and infrastructure another look", () => {
  const named = webGateway
    .replace(
      "{name: web}",
      "{name: web, labels: {team: edge}, annotations: {gateway.istio.io/name-override: edge, gateway.istio.io/service-account: robot}}",
    )
    .replace("  listeners:", "  infrastructure: {labels: {a: b}}\n  listeners:");
  const made = deployed(named);
  assert.deepEqual(
    [made?.deploymentName, made?.serviceAccount, made?.serviceType, made?.labels, made?.annotations],
    ["edge", "robot", "LoadBalancer", { a: "b" }, {}],
  );
});

test("a Gateway that names its Service, or is of another network, is not deployed; an address is asked for", () => {
  const at = (address: string): string => webGateway.replace("  listeners:", `  addresses: [${address}]\n  listeners:`);
  assert.equal(deployed(at("{type: Hostname, value: web-istio}")), undefined);
  assert.equal(deployed(webGateway.replace("istio", "istio-remote")), undefined);
  assert.equal(deployed(at("{value: 10.0.0.1}"))?.loadBalancerIp, "10.0.0.1");
});

test("classes that nobody wrote are missing", () => {
  const written = `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: istio, namespace: ""}
spec: {controllerName: istio.io/gateway-controller}
`;
  const names = (...documents: string[]): string[] =>
    gatewayMesh(...documents)
      .gatewayDeployments()
      .missingClasses.map(({ name }) => name);
  assert.deepEqual(names(webGateway), ["istio", "istio-remote"]);
  assert.deepEqual(names(webGateway, written), ["istio-remote"]);
});
