import assert from "node:assert/strict";
import { test } from "node:test";
import { compileProxy } from "../compile.ts";
import { mesh, sidecarOf } from "../testing/mesh.ts";

test("an endpoint with a name for its address is left out where nobody resolves it", () => {
  const entry = (resolution: string): string => `---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ${resolution.toLowerCase()}, namespace: default}
spec:
  hosts: [${resolution.toLowerCase()}.example]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: ${resolution}
  workloadSelector: {labels: {app: machine}}
`;
  const machine = (name: string, address: string): string => `---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: ${name}, namespace: default}
spec: {address: "${address}", labels: {app: machine}}
`;
  const snapshot = mesh(
    [],
    entry("STATIC") + entry("DNS") + machine("a", "vm.example") + machine("b", "10.0.0.1") + machine("c", "fd00::1"),
  );
  const { clusters, endpoints } = compileProxy(snapshot, sidecarOf("client", "10.0.0.9"));
  const addresses = (assignment: ReturnType<typeof endpoints.get>): unknown[] =>
    (assignment?.endpoints ?? []).flatMap(({ lbEndpoints, loadBalancingWeight }) => [
      loadBalancingWeight,
      ...lbEndpoints.map(({ hostIdentifier }) => {
        const address = hostIdentifier.case === "endpoint" ? hostIdentifier.value.address?.address : undefined;
        return address?.case === "socketAddress" ? address.value.address : undefined;
      }),
    ]);
  assert.deepEqual(addresses(endpoints.get("outbound|80||static.example")), [2, "10.0.0.1", "fd00::1"]);
  assert.deepEqual(addresses(clusters.get("outbound|80||dns.example")?.loadAssignment), [
    3,
    "vm.example",
    "10.0.0.1",
    "fd00::1",
  ]);
});
