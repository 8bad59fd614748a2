import assert from "node:assert/strict";
import { test } from "node:test";
import { noProvenance } from "#wire/xds/provenance.ts";
import { noHeaderMutations, type VirtualHost } from "../config/http.ts";
import { indexVirtualHosts } from "./virtual-host-index.ts";

const host = (name: string, ...domains: string[]): VirtualHost => ({
  name,
  domains,
  routes: [],
  routeIndex: null,
  includeAttemptCount: false,
  includeAttemptCountInResponse: false,
  rateLimits: [],
  headers: noHeaderMutations,
  provenance: noProvenance,
});

const { index } = indexVirtualHosts([
  host("any", "*"),
  host("suffix", "*.com"),
  host("longer-suffix", "*.example.com", "*-dash.example.com"),
  host("exact", "www.example.com"),
  host("prefix", "www.*"),
  host("longer-prefix", "www.example.*"),
]);

const cases: readonly [string, string][] = [
  ["www.example.com", "exact"],
  ["a.example.com", "longer-suffix"],
  ["x-dash.example.com", "longer-suffix"],
  ["www.other.com", "suffix"],
  ["www.example.org", "longer-prefix"],
  ["www.org", "prefix"],
  ["plain", "any"],
  [".com", "any"],
  ["www.", "any"],
];

for (const [authority, expected] of cases) {
  test(`virtual host of "${authority}" is ${expected}`, () => assert.equal(index.find(authority)?.name, expected));
}

test("without a catch-all an unknown authority has no virtual host", () => {
  assert.equal(indexVirtualHosts([host("a", "a")]).index.find("b"), null);
});

test("a domain belongs to one virtual host", () => {
  assert.deepEqual(indexVirtualHosts([host("a", "x.com"), host("b", "X.com")]).problems, [
    'domain "X.com" is in virtual hosts a and b',
  ]);
  assert.deepEqual(indexVirtualHosts([host("a", "*"), host("b", "*")]).problems, [
    'domain "*" is in virtual hosts a and b',
  ]);
  assert.deepEqual(indexVirtualHosts([host("a", "a.*.com")]).problems, ['"a.*.com" in virtual host a is not a domain']);
});
