// Files hold anything: whatever stands in an object, the others are read, and nothing is thrown.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import fc from "fast-check";
import { compileProxy } from "#mesh/compile/compile.ts";
import { loadEnvoyTypes } from "#mesh/objects/envoy-types.ts";
import { parseYamlDocuments } from "#mesh/objects/yaml.ts";
import { proxyFactsOf, proxyNodeOf } from "../mesh/pod-proxy.ts";
import { offlineMesh } from "./offline-mesh.ts";

before(loadEnvoyTypes);

type Json = Record<string, unknown>;

const objects: readonly Json[] = [
  {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", labels: { app: "a" }, annotations: {}, ownerReferences: [] },
    spec: {
      serviceAccountName: "s",
      containers: [{ name: "c", image: "x", ports: [{ name: "w", containerPort: 80 }], env: [] }],
    },
    status: { phase: "Running", podIPs: [{ ip: "1.1.1.1" }], conditions: [{ type: "Ready", status: "True" }] },
  },
  {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "d" },
    spec: {
      replicas: 2,
      selector: { matchLabels: { app: "a" }, matchExpressions: [] },
      template: {
        metadata: { labels: { app: "b" } },
        spec: { containers: [{ name: "c", image: "x" }], initContainers: [] },
      },
    },
  },
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "s" },
    spec: { clusterIP: "10.96.0.1", selector: { app: "a" }, ports: [{ name: "http", port: 80, targetPort: "w" }] },
  },
  {
    apiVersion: "v1",
    kind: "Endpoints",
    metadata: { name: "e" },
    subsets: [{ addresses: [{ ip: "1.1.1.1" }], notReadyAddresses: [], ports: [{ port: 80 }] }],
  },
  {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "x", labels: { "kubernetes.io/service-name": "s" } },
    endpoints: [{ addresses: ["1.1.1.1"], conditions: {} }],
    ports: [],
  },
  { apiVersion: "v1", kind: "Namespace", metadata: { name: "default", labels: { "istio-injection": "enabled" } } },
  { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "istio", namespace: "istio-system" }, data: { mesh: "{}" } },
  {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "Gateway",
    metadata: { name: "g" },
    spec: { gatewayClassName: "istio", listeners: [{ name: "http", port: 80, protocol: "HTTP" }], addresses: [] },
  },
];

const good =
  '{"apiVersion":"v1","kind":"Service","metadata":{"name":"good"},"spec":{"ports":[{"name":"http","port":81}]}}';

/** Every path to a field, as far as it can be broken without making another object of it. */
function pathsOf(value: unknown, path: readonly string[] = []): string[][] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, child]) => {
    const here = [...path, key];
    const isIdentity = ["apiVersion", "kind", "metadata", "metadata,name"].includes(here.join());
    return [...(isIdentity ? [] : [here]), ...pathsOf(child, here)];
  });
}

function replaced(value: unknown, [key, ...rest]: readonly string[], by: unknown): unknown {
  if (key === undefined) return by;
  const copy = (Array.isArray(value) ? [...value] : { ...(value as Json) }) as Json;
  copy[key] = replaced(copy[key], rest, by);
  return copy;
}

const broken = fc
  .constantFrom(...objects)
  .chain((object) =>
    fc
      .tuple(fc.constantFrom(...pathsOf(object)), fc.jsonValue({ maxDepth: 2 }))
      .map(([path, by]) => replaced(object, path, by) as Json),
  );

test("one broken object costs only itself", () => {
  fc.assert(
    fc.property(broken, (object) => {
      const documents = [...objects.filter(({ kind }) => kind !== object["kind"]), object].map((it) =>
        JSON.stringify(it),
      );
      const { snapshot, pods } = offlineMesh(
        parseYamlDocuments("x.yaml", [...documents, good].join("\n---\n")).objects,
      );
      assert.ok(snapshot.services.some(({ name }) => name === "good"));
      for (const pod of pods) {
        const node = proxyNodeOf(proxyFactsOf(pod));
        if (typeof node !== "string") compileProxy(snapshot, node);
      }
    }),
    { numRuns: 300 },
  );
});
