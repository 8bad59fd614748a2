import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { routeConfig } from "../config/testing/resources.ts";
import { type RouteRequest, selectRoute } from "../decide/route.ts";
import { indexRoutes } from "./route-index.ts";

const request = (path: string): RouteRequest => ({
  authority: "a",
  path,
  metadata: () => undefined,
  share: ({ fraction }) => fraction,
  clientCertificate: "none",
  header: (name) => (name === "x-odd" ? "yes" : undefined),
});

const segment = fc.constantFrom("a", "b", "A", "ab");
const path = fc.array(segment, { maxLength: 3 }).map((segments) => `/${segments.join("/")}`);
const match = fc.oneof(
  path.map((value) => `{ path: ${value} }`),
  path.map((value) => `{ prefix: ${value} }`),
  path.map((value) => `{ prefix: ${value}, headers: [{ name: x-even, present_match: true }] }`),
  path.map((value) => `{ prefix: ${value}, case_sensitive: false, headers: [{ name: x-odd, present_match: true }] }`),
  path.filter((value) => value !== "/").map((value) => `{ path_separated_prefix: ${value} }`),
  path.map((value) => `{ safe_regex: { regex: "${value}.?" } }`),
);

test("an indexed list finds the route that looking through it finds", () => {
  fc.assert(
    fc.property(
      fc.array(match, { minLength: 24, maxLength: 60 }),
      fc.array(path, { maxLength: 20 }),
      (matches, paths) => {
        const routes = matches.map((text, i) => `{ name: r${i}, match: ${text}, route: { cluster: c } }`);
        const config = routeConfig(
          `{ name: t, virtual_hosts: [{ name: h, domains: ["*"], routes: [${routes.join(", ")}] }] }`,
        );
        const [host] = config.virtualHosts;
        assert.ok(host !== undefined && host.routeIndex !== null);
        const plainHost = { ...host, routeIndex: null };
        const plain = { ...config, index: { find: () => plainHost } };
        for (const one of paths) {
          const chosen = (from: typeof config): string | undefined =>
            selectRoute(from, request(`${one}?q`), 0, null)?.route.name;
          assert.equal(chosen(config), chosen(plain), one);
        }
      },
    ),
    { numRuns: 200 },
  );
});

test("of 5000 routes only those that can match are looked at", () => {
  const routes = Array.from(
    { length: 5000 },
    (_, i) => `{ name: r${i}, match: { prefix: /item-${i}/ }, route: { cluster: c } }`,
  );
  const config = routeConfig(
    `{ name: t, virtual_hosts: [{ name: h, domains: ["*"], routes: [${routes.join(", ")}] }] }`,
  );
  const index = config.virtualHosts[0]?.routeIndex;
  assert.ok(index !== null && index !== undefined);
  index.start("/item-4711/x");
  assert.deepEqual([index.next(), index.next()], [4711, -1]);
});

test("a short list has no index", () => {
  assert.equal(indexRoutes([]), null);
});
