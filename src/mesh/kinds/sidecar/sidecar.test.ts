import assert from "node:assert/strict";
import { test } from "node:test";
import type { MeshObject } from "../../objects/mesh-object.ts";
import { objectOf, problemsOf } from "../../objects/testing/objects.ts";
import { sidecar } from "./kind.ts";
import { importsOf, isImported, selectSidecar } from "./resolve.ts";
import type { SidecarSpec } from "./spec.ts";

const egress = { egress: [{ hosts: ["*/*"] }] };
const make = (name: string, spec: object): MeshObject<SidecarSpec> =>
  objectOf(sidecar, { name, spec: { ...egress, ...spec } });
const web = { workloadSelector: { labels: { app: "web" } } };

test("a matching selector outranks the namespace's Sidecar, which outranks the root namespace's", () => {
  const root = [make("root", {}), make("root-web", web)];
  const own = [make("own", {}), make("own-web", web)];
  assert.equal(selectSidecar(root, own, { app: "web" })?.name, "own-web");
  assert.equal(selectSidecar(root, own, { app: "api" })?.name, "own");
  assert.equal(selectSidecar(root, [make("own-web", web)], { app: "api" })?.name, "root");
  assert.equal(selectSidecar([make("root-web", web)], [], { app: "web" }), undefined);
});

test("egress hosts import by namespace and name, and ~ takes away", () => {
  const imports = (...hosts: string[]): ((namespace: string, host: string) => boolean) => {
    const [listener] = make("a", { egress: [{ hosts }] }).spec.egress;
    assert.ok(listener);
    const read = importsOf(listener, "shop");
    return (namespace, host) => isImported(read, namespace, host);
  };
  assert.equal(imports("./*")("shop", "a"), true);
  assert.equal(imports("./*")("other", "a"), false);
  assert.equal(imports("*/*.example.com")("other", "a.example.com"), true);
  assert.equal(imports("*/*.example.com")("other", "a.example.org"), false);
  assert.equal(imports("~/*")("shop", "a"), false);
  assert.equal(imports("*/*", "~other/*")("other", "a"), false);
  assert.equal(imports("*/*", "~other/*")("shop", "a"), true);
  assert.equal(imports("*/*", "~/a.example")("shop", "a.example"), false);
});

test("a Sidecar that says nothing or something impossible is refused", () => {
  const cases: [object, string][] = [
    [{}, "spec: the Sidecar says nothing"],
    [{ egress: [{ hosts: [] }] }, "spec.egress[0].hosts: at least one host is needed"],
    [{ egress: [{ hosts: ["reviews"] }] }, 'spec.egress[0].hosts[0]: "reviews" is not namespace/host'],
    [
      { egress: [{ hosts: ["*/*"] }, { port: { number: 80, protocol: "HTTP", name: "a" }, hosts: ["*/*"] }] },
      "spec.egress[0]: a listener without a port must be the last one",
    ],
    [
      { ingress: [{ port: { number: 80, protocol: "HTTP", name: "a" }, defaultEndpoint: "10.0.0.1:80" }] },
      'spec.ingress[0].defaultEndpoint: "10.0.0.1:80" is not an endpoint',
    ],
    [
      { outboundTrafficPolicy: { mode: "ALLOW_ANY_DYNAMIC_DNS" } },
      "spec.outboundTrafficPolicy.mode: ALLOW_ANY_DYNAMIC_DNS is for the mesh only",
    ],
  ];
  for (const [spec, expected] of cases) assert.deepEqual(problemsOf(sidecar, spec), [expected]);
});
