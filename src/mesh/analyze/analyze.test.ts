import assert from "node:assert/strict";
import { test } from "node:test";
import { meshFromYaml } from "../snapshot/testing/mesh-from-yaml.ts";
import { analyze } from "./analyze.ts";

const found = (yaml: string): [string, number | undefined][] =>
  analyze(meshFromYaml(yaml)).map((issue) => [issue.code, issue.position?.line]);

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
  annotations:
    example.com/x: z
    sidecar.istio.io/logLevl: debug
`;
  const [issue, ...others] = analyze(meshFromYaml(yaml));
  assert.equal(others.length, 0);
  assert.equal(issue?.position?.line, 8);
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
