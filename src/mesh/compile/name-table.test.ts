import assert from "node:assert/strict";
import { test } from "node:test";
import { compileNameTable } from "./name-table.ts";
import { bookinfo, mesh, sidecarOf, workload } from "./testing/mesh.ts";

const client = sidecarOf("productpage", "10.244.0.11", { dnsCapture: true });

const entries = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: addressed}
spec:
  hosts: [addressed.example]
  addresses: [203.0.113.1, 203.0.113.0/24]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 192.0.2.1}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: none}
spec:
  hosts: [none.example]
  ports: [{number: 80, name: http, protocol: HTTP}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: allocated}
spec:
  hosts: [allocated.example]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
---
apiVersion: v1
kind: Service
metadata: {name: alias}
spec: {type: ExternalName, externalName: elsewhere.example}
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec:
  clusterIP: None
  selector: {app: db}
  ports: [{name: tcp, port: 5432}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db-slice, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
ports: [{name: tcp, port: 5432, protocol: TCP}]
endpoints:
- {addresses: [10.244.0.61], hostname: db-0, conditions: {ready: true}}
- {addresses: [10.244.0.62], hostname: db-1, conditions: {ready: true}}
- {addresses: [10.244.0.63], hostname: db-2, conditions: {ready: false}}
`;

test("the table has services by their addresses, headless ones by their pods, and each pod by its name", () => {
  const table = compileNameTable(mesh([...bookinfo, ...workload("other", [], { ip: "10.244.0.90" })], entries), client);
  const lines = [...table].map(([host, { ips, registry, shortName, namespace }]) =>
    [host, ips.join(), registry, shortName, namespace].join(" "),
  );
  assert.deepEqual(lines.filter((line) => !/^(?:productpage|details|ratings|istio-ingress)/.test(line)).sort(), [
    "addressed.example 203.0.113.1 External  ",
    `allocated.example ${table.get("allocated.example")?.ips.join()} External  `,
    "db-0.db.default.svc.cluster.local 10.244.0.61 Kubernetes db-0.db default",
    "db-1.db.default.svc.cluster.local 10.244.0.62 Kubernetes db-1.db default",
    "db.default.svc.cluster.local 10.244.0.61,10.244.0.62 Kubernetes db default",
    "reviews.default.svc.cluster.local 10.96.0.13 Kubernetes reviews default",
  ]);
  assert.match(table.get("allocated.example")?.ips[0] ?? "", /^240\.240\./);
});

test("a workload is told the names that its Sidecar imports", () => {
  const sidecar = `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default}
spec: {egress: [{hosts: ["./details.default.svc.cluster.local"]}]}
---${entries}`;
  assert.deepEqual(
    [...compileNameTable(mesh(bookinfo, sidecar), client).keys()],
    ["details.default.svc.cluster.local"],
  );
});
