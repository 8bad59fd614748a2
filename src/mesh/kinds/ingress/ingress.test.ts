import assert from "node:assert/strict";
import { test } from "node:test";
import { problemsOf } from "../../objects/testing/objects.ts";
import { ingress } from "./kind.ts";

const service = { service: { name: "a", port: { number: 80 } } };
const withPath = (path: object): object => ({ rules: [{ http: { paths: [path] } }] });
const at = "spec.rules[0].http.paths[0]";

for (const [spec, expected] of [
  [withPath({ path: "/", pathType: "Prefix", backend: service }), []],
  [withPath({ pathType: "ImplementationSpecific", backend: service }), []],
  [{ defaultBackend: service }, []],
  [{}, ["spec: an Ingress has rules or a defaultBackend"]],
  [withPath({ path: "/", backend: service }), [`${at}.pathType: pathType is missing`]],
  [withPath({ path: "a", pathType: "Exact", backend: service }), [`${at}.path: "a" does not begin with /`]],
  [withPath({ path: "/a//b", pathType: "Prefix", backend: service }), [`${at}.path: "//" cannot stand in a path`]],
  [withPath({ path: "/a/..", pathType: "Prefix", backend: service }), [`${at}.path: "/.." cannot stand in a path`]],
  [withPath({ path: "/", pathType: "Prefix" }), [`${at}.backend: the path has no backend`]],
  [
    withPath({ path: "/", pathType: "Prefix", backend: {} }),
    [`${at}.backend: a backend is either a service or a resource`],
  ],
  [
    withPath({ path: "/", pathType: "Prefix", backend: { service: { name: "a", port: { name: "b", number: 1 } } } }),
    [`${at}.backend.service.port: a port has either a number or a name`],
  ],
  [{ rules: [{ host: "A.example" }] }, ['spec.rules[0].host: "A.example" is not a host name']],
  [{ rules: [{ host: "*.a.example" }], tls: [{ hosts: ["a.*"] }] }, ['spec.tls[0].hosts[0]: "a.*" is not a host name']],
  [{ rules: [{ hots: "a" }] }, ['spec.rules[0].hots: unknown field "hots"']],
] as const) {
  test(`${JSON.stringify(spec)}: ${expected.length === 0 ? "in order" : expected.join(", ")}`, () => {
    assert.deepEqual(problemsOf(ingress, spec), expected);
  });
}
