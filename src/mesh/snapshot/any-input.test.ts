import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { hasErrors } from "#base/issue.ts";
import { catalog } from "../catalog.ts";
import { buildSnapshot } from "./build.ts";
import { ForceState } from "./snapshot.ts";
import { proxy } from "./testing/mesh-from-yaml.ts";

const names = [
  "hosts",
  "http",
  "match",
  "route",
  "destination",
  "host",
  "subset",
  "uri",
  "exact",
  "servers",
  "port",
  "number",
  "protocol",
  "tls",
  "mode",
  "selector",
  "matchLabels",
  "rules",
  "from",
  "source",
  "egress",
  "addresses",
  "endpoints",
  "conditions",
  "ports",
  "trafficPolicy",
  "loadBalancer",
  "subsets",
  "labels",
  "spec",
  "status",
];
const words = ["", "*", "a", "a.b", "*.b", "HTTP", "STRICT", "10.0.0.1", "10s", "./a", "../..", "__proto__"];
const { tree } = fc.letrec((tie) => ({
  leaf: fc.oneof(fc.constantFrom(...words), fc.integer(), fc.boolean(), fc.constant(null)),
  tree: fc.oneof(
    { maxDepth: 6, depthSize: "medium" },
    tie("leaf"),
    fc.array(tie("tree"), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...names), tie("tree"), { maxKeys: 5 }),
  ),
}));

test("whatever an object says, building and asking never throws, and an error always makes it invalid", () => {
  const kinds = catalog.filter(
    (entry) => entry.mesh || ["Service", "Pod", "EndpointSlice", "Node"].includes(entry.kind),
  );
  const anything = fc.oneof(tree, fc.dictionary(fc.constantFrom("kubernetes.io/service-name", "app"), tree));
  const metadata = fc.record(
    { labels: anything, annotations: anything, creationTimestamp: anything, ownerReferences: anything },
    { requiredKeys: [] },
  ) as fc.Arbitrary<object>;
  const object = fc.record({
    entry: fc.constantFrom(...kinds),
    name: fc.constantFrom("a", "b"),
    spec: tree,
    status: tree,
    metadata,
  });
  fc.assert(
    fc.property(fc.array(object, { maxLength: 6 }), (written) => {
      const objects = written.map(({ entry, name, spec, status, metadata }) => ({
        object: {
          apiVersion: entry.group === "" ? "v1" : `${entry.group}/${entry.versions[0] ?? ""}`,
          kind: entry.kind,
          metadata: { ...metadata, name, namespace: "default" },
          spec,
          status,
          endpoints: spec,
          ports: status,
        },
      }));
      const snapshot = buildSnapshot(objects);
      const client = proxy({ name: "a" });
      const scope = snapshot.scope(client);
      for (const service of scope.services) {
        scope.destinationRule(service);
        snapshot.serviceAccountsOf(service);
        for (const port of service.ports) snapshot.endpoints(service, port.number);
      }
      snapshot.gateways(proxy({ type: "router" }));
      snapshot.serviceInstances(client);
      snapshot.authorizationPolicies(client);
      assert.ok(Array.isArray(snapshot.issues));
      const errors = new Set(
        [...snapshot.entries.values()].filter((entry) => hasErrors(entry.issues)).map((e) => e.key),
      );
      for (const { origin, state } of snapshot.resourceStates()) {
        if (errors.has(`${origin.kind}/${origin.namespace}/${origin.name}`)) assert.equal(state, ForceState.Invalid);
      }
    }),
    { numRuns: 300 },
  );
});

test("ISTIO-SECURITY-2026-006 an object that is nested without end is invalid, and its last good version counts on", () => {
  const good = {
    apiVersion: "networking.istio.io/v1",
    kind: "VirtualService",
    metadata: { name: "v", namespace: "default" },
    spec: { hosts: ["a.example"], http: [{ route: [{ destination: { host: "a.example" } }] }] },
  };
  let deep: unknown = "bottom";
  for (let level = 0; level < 50_000; level++) deep = [deep];
  const before = buildSnapshot([{ object: good }]);
  const after = buildSnapshot([{ object: { ...good, spec: { ...good.spec, http: deep } } }], {}, before);
  assert.equal(after.issues[0]?.code, "OUT0002");
  assert.match(after.issues[0]?.message ?? "", /deeper than 100 levels/);
  assert.deepEqual(
    after.object("VirtualService", "default", "v")?.spec,
    before.object("VirtualService", "default", "v")?.spec,
  );
});
