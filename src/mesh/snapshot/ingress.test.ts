// What is said of Ingresses, and the status that they are to show.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMeshConfig } from "../kinds/mesh-config/decode.ts";
import { meshFromYaml } from "./testing/mesh-from-yaml.ts";

const ingress = (name: string, spec: string, more: string): string =>
  `apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: ${name}, ${more}}\nspec: ${spec}\n---\n`;
const ours = "annotations: {kubernetes.io/ingress.class: istio}";
const backend = (name: string, port: string): string => `backend: {service: {name: ${name}, port: {${port}}}}`;
const path = (more: string): string => `{path: /, pathType: Prefix, ${more}}`;
const services = `apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec: {type: LoadBalancer, ports: [{name: http, port: 80}]}
status: {loadBalancer: {ingress: [{ip: 192.0.2.1}, {hostname: lb.example}]}}
---
`;

test("what has no effect is told, with its field and the state", () => {
  const snapshot = meshFromYaml(
    `${services}apiVersion: v1\nkind: Secret\nmetadata: {name: other}\ndata: {tls.crt: YQ==}\n---\n` +
      ingress("fine", `{rules: [{http: {paths: [${path(backend("web", "number: 80"))}]}}]}`, ours) +
      ingress(
        "partly",
        `{defaultBackend: {service: {name: web, port: {number: 80}}}, tls: [{secretName: none}], rules: [{http: {paths: [${path(backend("wub", "number: 80"))}, ${path(backend("web", "name: x"))}, ${path("backend: {resource: {kind: A, name: b}}")}]}}]}`,
        ours,
      ) +
      ingress(
        "other",
        `{ingressClassName: nginx, rules: [{http: {paths: [${path(backend("web", "number: 80"))}]}}]}`,
        "labels: {}",
      ),
  );
  assert.deepEqual(snapshot.issues.map(({ object, code, path: field }) => [object?.name, code, field]).sort(), [
    ["other", "OUT0006", "spec.ingressClassName"],
    ["partly", "IST0101", "spec.rules[0].http.paths[0].backend"],
    ["partly", "IST0101", "spec.rules[0].http.paths[1].backend"],
    ["partly", "IST0101", "spec.tls[0].secretName"],
    ["partly", "OUT0003", "spec.defaultBackend"],
    ["partly", "OUT0003", "spec.rules[0].http.paths[2].backend"],
  ]);
  const states = snapshot.resourceStates().filter(({ origin }) => origin.kind === "Ingress");
  assert.deepEqual(Object.fromEntries(states.map(({ origin, state }) => [origin.name, state])), {
    fine: "in force",
    partly: "partly in force",
    other: "matches nothing",
  });
});

test("the status shows the addresses of the gateway's Service, for Ingresses that are the mesh's", () => {
  const yaml =
    services +
    ingress("a", `{defaultBackend: {service: {name: web, port: {number: 80}}}}`, ours) +
    ingress("b", `{defaultBackend: {service: {name: web, port: {number: 80}}}}`, "labels: {}");
  const statuses = meshFromYaml(yaml).gatewayApiStatuses();
  assert.deepEqual(statuses, [
    {
      apiVersion: "networking.k8s.io/v1",
      kind: "Ingress",
      namespace: "default",
      name: "a",
      status: { loadBalancer: { ingress: [{ ip: "192.0.2.1" }, { hostname: "lb.example" }] } },
    },
  ]);
  const { meshConfig } = parseMeshConfig("ingressService: none");
  assert.deepEqual(
    meshFromYaml(yaml, { meshConfig })
      .gatewayApiStatuses()
      .map(({ status }) => status),
    [{ loadBalancer: { ingress: [] } }],
  );
});

test("an Ingress that changes or goes changes what was made of it, and nothing else does", () => {
  const yaml =
    services +
    ingress("a", `{rules: [{host: a.example, http: {paths: [${path(backend("web", "number: 80"))}]}}]}`, ours);
  const first = meshFromYaml(yaml);
  const changed = meshFromYaml(yaml.replace("a.example", "b.example"), {}, first);
  const kinds = (list: readonly { readonly kind: string }[]): string[] => list.map(({ kind }) => kind).sort();
  assert.deepEqual(kinds(changed.changes), ["Ingress", "VirtualService", "VirtualService"]);
  const same = meshFromYaml(yaml.replace("a.example", "b.example"), {}, changed);
  assert.deepEqual(kinds(same.changes), []);
  assert.deepEqual(kinds(meshFromYaml(services, {}, same).changes), ["Gateway", "Ingress", "VirtualService"]);
});
