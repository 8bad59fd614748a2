import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { firstGatewayPath } from "./gateway-page.ts";

function virtualService(spec: Record<string, unknown>): KubernetesObject {
  return { apiVersion: "networking.istio.io/v1", kind: "VirtualService", metadata: { name: "page" }, spec };
}
const http = [{ match: [{ uri: { exact: "/" } }, { uri: { prefix: "/page" } }] }];

test("the first page is a path that the gateway serves to any host", () => {
  assert.equal(firstGatewayPath([virtualService({ hosts: ["*"], gateways: ["web"], http })]), "/page");
});

test("a rule for other hosts or for sidecars only has no page", () => {
  assert.equal(firstGatewayPath([virtualService({ hosts: ["shop.example"], gateways: ["web"], http })]), undefined);
  assert.equal(firstGatewayPath([virtualService({ hosts: ["*"], gateways: ["mesh"], http })]), undefined);
  assert.equal(firstGatewayPath([virtualService({ hosts: ["*"], http })]), undefined);
});
