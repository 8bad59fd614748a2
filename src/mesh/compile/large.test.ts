// Objects as large as an API server takes: what they cost grows with their size and not with its square. Costs are
// counted by comparing a size with its double, so that the speed of the machine does not matter.
import assert from "node:assert/strict";
import { test } from "node:test";
import { maxMatchPairs } from "../kinds/virtual-service/delegation.ts";
import type { KubernetesObject } from "../objects/kubernetes-object.ts";
import { buildSnapshot } from "../snapshot/build.ts";
import type { MeshSnapshot } from "../snapshot/snapshot.ts";
import { compileProxy } from "./compile.ts";
import { bookinfo, sidecarOf } from "./testing/mesh.ts";

const client = sidecarOf("productpage", "10.244.0.11");

function snapshotOf(...specs: object[]): MeshSnapshot {
  const objects = specs.map((spec, index): KubernetesObject => {
    const kind = "resolution" in spec ? "ServiceEntry" : "VirtualService";
    const metadata = { name: `o${index}`, namespace: "default" };
    return { apiVersion: "networking.istio.io/v1", kind, metadata, spec };
  });
  return buildSnapshot([...bookinfo, ...objects].map((object) => ({ object })));
}

const to = (host: string): object => ({ route: [{ destination: { host } }] });
const times = <T>(count: number, make: (index: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));
const paths = (count: number): object[] =>
  times(count, (i) => ({ match: [{ uri: { exact: `/shop/${i}` } }], ...to("reviews") }));

/** How often a method of built-in objects runs, as a measure of work. */
function callsOf(prototypes: readonly [object: object, method: string][], run: () => void): number {
  let calls = 0;
  const restored = prototypes.map(([object, method]) => {
    const holder = object as Record<string, (...rest: unknown[]) => unknown>;
    const original = holder[method] as (...rest: unknown[]) => unknown;
    holder[method] = function (this: unknown, ...rest: unknown[]) {
      calls++;
      return original.apply(this, rest);
    };
    return () => {
      holder[method] = original;
    };
  });
  try {
    run();
  } finally {
    for (const restore of restored) restore();
  }
  return calls;
}

const lookups: readonly [object, string][] = [
  [Set.prototype, "has"],
  [Set.prototype, "add"],
  [Map.prototype, "get"],
  [Map.prototype, "set"],
  [Array.prototype, "push"],
  [Array.prototype, "includes"],
  [Array.prototype, "find"],
  [String.prototype, "startsWith"],
  [String.prototype, "endsWith"],
];

const everyName = {
  hosts: ["*.example.com"],
  ports: [{ number: 443, name: "tls", protocol: "TLS" }],
  resolution: "NONE",
};
const shapes: Readonly<Record<string, (size: number) => object[]>> = {
  "http routes": (size) => [{ hosts: ["reviews"], http: paths(size) }],
  "routes of a delegate": (size) => [
    { hosts: ["reviews"], http: [{ match: [{ uri: { prefix: "/shop" } }], delegate: { name: "o1" } }] },
    { http: paths(size) },
  ],
  "tls routes": (size) => [
    {
      hosts: ["*.example.com"],
      tls: times(size, (i) => ({ match: [{ sniHosts: [`h${i}.example.com`] }], ...to("reviews") })),
    },
    everyName,
  ],
  hosts: (size) => [{ hosts: times(size, (i) => `h${i}.example.com`), http: [to("reviews")] }],
};

for (const [name, make] of Object.entries(shapes)) {
  test(`twice as many ${name} are about twice the work`, () => {
    const work = (size: number): number =>
      callsOf(lookups, () => {
        const snapshot = snapshotOf(...make(size));
        assert.deepEqual(
          snapshot.issues.filter(({ severity }) => severity === "error"),
          [],
        );
        compileProxy(snapshot, client);
      });
    const [small, large] = [work(500), work(1000)];
    assert.ok(large < small * 2.5, `${small} steps for 500, ${large} for 1000`);
  });
}

test("ten thousand routes arrive in the order in which they were written", () => {
  const routes = compileProxy(snapshotOf({ hosts: ["reviews"], http: paths(10_000) }), client).routes.get("9080");
  const host = routes?.virtualHosts.find(({ name }) => name.startsWith("reviews."));
  assert.equal(host?.routes.length, 10_000);
  assert.deepEqual(host?.routes[9999]?.match?.pathSpecifier, { case: "path", value: "/shop/9999" });
});

test("a delegation with more pairs of matches than a root may have is left out and reported, the rest goes on", () => {
  const size = Math.ceil(Math.sqrt(maxMatchPairs)) + 1;
  const match = times(size, (i) => ({ uri: { prefix: `/shop/${i}` } }));
  const snapshot = snapshotOf(
    {
      hosts: ["reviews"],
      http: [
        { match, delegate: { name: "o1" } },
        { match: [{ uri: { exact: "/x" } }], ...to("ratings") },
      ],
    },
    { http: [{ match, ...to("reviews") }] },
  );
  const [first] = snapshot.issues;
  assert.equal(first?.code, "OUT0016");
  assert.match(first?.message ?? "", /make more than 100000 pairs/);
  const routes = compileProxy(snapshot, client).routes.get("9080");
  const host = routes?.virtualHosts.find(({ name }) => name.startsWith("reviews."));
  assert.equal(host?.routes.length, 1);
});

test("a giant regular expression is refused before it is compiled, and its object costs only itself", () => {
  const snapshot = snapshotOf(
    { hosts: ["reviews"], http: [{ match: [{ uri: { regex: "(a|b)*".repeat(200_000) } }], ...to("reviews") }] },
    { hosts: ["ratings"], http: [to("ratings")] },
  );
  const [issue] = snapshot.issues;
  assert.match(issue?.message ?? "", /the regex has 1200000 characters, more than 1024/);
  assert.equal(snapshot.resourceStates().find(({ origin }) => origin.name === "o1")?.state, "in force");
});
