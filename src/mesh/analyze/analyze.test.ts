import assert from "node:assert/strict";
import { before, test } from "node:test";
import type { Issue } from "#base/issue.ts";
import { loadEnvoyTypes } from "../objects/envoy-types.ts";
import { meshFromYaml, sourcesFromYaml } from "../snapshot/testing/mesh-from-yaml.ts";
import { analyze } from "./analyze.ts";

before(loadEnvoyTypes);

const issuesOf = (yaml: string): Issue[] =>
  analyze({ snapshot: meshFromYaml(yaml), written: sourcesFromYaml(yaml), now: 0 });

const found = (yaml: string): [string, number | undefined][] =>
  issuesOf(yaml).map((issue) => [issue.code, issue.position?.line]);

test("a port whose protocol nobody declared is told to be sniffed", () => {
  const service = (name: string, more = ""): string => `apiVersion: v1
kind: Service
metadata: { name: a${more} }
spec:
  ports:
  - { name: ${name}, port: 80 }
`;
  assert.deepEqual(found(service("web")), [["IST0118", 6]]);
  assert.deepEqual(found(service("http-web")), []);
  assert.deepEqual(found(service("web", ", annotations: { galley.istio.io/analyze-suppress: IST0118 }")), []);
});

test("an annotation of Istio's that nobody reads is reported, others are not", () => {
  const yaml = `apiVersion: v1
kind: Namespace
metadata:
  name: a
  namespace: ""
  labels: { istio-injection: disabled }
  annotations:
    example.com/x: z
    sidecar.istio.io/logLevl: debug
`;
  const [issue, ...others] = issuesOf(yaml);
  assert.equal(others.length, 0);
  assert.equal(issue?.position?.line, 9);
  assert.match(issue?.fix ?? "", /sidecar.istio.io\/logLevel/);
});

test("a route behind one that matches everything is unreachable, and a repeated match is ineffective", () => {
  assert.deepEqual(
    found(`apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: a }
spec:
  hosts: [a.example.com]
  http:
  - match: [{ uri: { exact: /a } }, { uri: { exact: /b } }]
    directResponse: { status: 200 }
  - match: [{ uri: { exact: /a } }, { uri: { exact: /c } }]
    directResponse: { status: 200 }
  - match: [{ name: x, uri: { exact: /b } }]
    directResponse: { status: 200 }
  - directResponse: { status: 200 }
  - match: [{ uri: { prefix: /d } }]
    directResponse: { status: 200 }
`),
    [
      ["IST0131", 9],
      ["IST0130", 11],
      ["IST0131", 11],
      ["IST0130", 14],
    ],
  );
});

test("patches whose order only the age of their EnvoyFilters decides, and operations that are ignored", () => {
  const filter = (name: string, spec: string): string => `---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: { name: ${name} }
spec: ${spec}
`;
  const cors =
    '{ name: envoy.filters.http.cors, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors } }';
  const patch = (operation: string, match = ""): string =>
    `{ applyTo: HTTP_FILTER, match: {${match}}, patch: { operation: ${operation}, value: ${cors} } }`;
  const codes = (...specs: string[]): string[] =>
    issuesOf(specs.map((spec, index) => filter(`f${index}`, spec)).join("")).map(({ code }) => code);
  const inserted = `{ configPatches: [${patch("INSERT_BEFORE")}] }`;
  assert.deepEqual(codes(inserted), []);
  assert.deepEqual(codes(inserted, inserted), ["IST0151"]);
  assert.deepEqual(codes(inserted, inserted.replace("{ ", "{ priority: 1, ")), []);
  assert.deepEqual(codes(inserted, `{ configPatches: [${patch("INSERT_FIRST")}] }`), []);
  const versioned = `{ configPatches: [${patch("MERGE", "proxy: { proxyVersion: '^1' }")}] }`;
  assert.deepEqual(codes(versioned, inserted), ["IST0155"]);
  const ignored = (applyTo: string, operation: string): string[] =>
    codes(`{ configPatches: [{ applyTo: ${applyTo}, patch: { operation: ${operation}, value: {} } }] }`);
  assert.deepEqual(ignored("CLUSTER", "REPLACE"), ["IST0152"]);
  assert.deepEqual(ignored("ROUTE_CONFIGURATION", "ADD"), ["IST0153"]);
  assert.deepEqual(ignored("ROUTE_CONFIGURATION", "REMOVE"), ["IST0154"]);
});
