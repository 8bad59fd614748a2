import assert from "node:assert/strict";
import { test } from "node:test";
import { isVisible } from "./export-to.ts";
import { bySpecificity, expandHost, HostIndex, hostsOverlap, intersectHosts, isSubsetOf } from "./host.ts";
import { isWildcardName } from "./validate-names.ts";

test("a short name belongs to the namespace of the resource, a name with a dot stands as written", () => {
  assert.equal(expandHost("Reviews", "default", "cluster.local"), "reviews.default.svc.cluster.local");
  assert.equal(expandHost("reviews.prod", "default", "cluster.local"), "reviews.prod");
  assert.equal(expandHost("*", "default", "cluster.local"), "*");
  assert.equal(expandHost("*.com", "default", "cluster.local"), "*.com");
});

test("a wildcard covers longer names only", () => {
  assert.equal(isSubsetOf("a.example.com", "*.example.com"), true);
  assert.equal(isSubsetOf("example.com", "*.example.com"), false);
  assert.equal(isSubsetOf("*.a.example.com", "*.example.com"), true);
  assert.equal(isSubsetOf("*.example.com", "*.a.example.com"), false);
  assert.equal(isSubsetOf("a", "*"), true);
  assert.equal(isSubsetOf("*", "*"), true);
  assert.equal(isSubsetOf("*", "a"), false);
  assert.equal(hostsOverlap("*.example.com", "a.example.com"), true);
  assert.equal(intersectHosts("*.example.com", "a.example.com"), "a.example.com");
  assert.equal(intersectHosts("a.com", "b.com"), undefined);
});

test("the most specific pattern answers: exact, then the longest wildcard, then *", () => {
  const index = new HostIndex([
    ["*", 0],
    ["*.com", 1],
    ["*.foo.com", 2],
    ["a.foo.com", 3],
  ]);
  assert.equal(index.find("a.foo.com"), 3);
  assert.equal(index.find("b.foo.com"), 2);
  assert.equal(index.find("foo.com"), 1);
  assert.equal(index.find("x.org"), 0);
  assert.deepEqual(["*", "a.com", "*.a.com", "*.com"].sort(bySpecificity), ["a.com", "*.a.com", "*.com", "*"]);
});

test("host names are DNS names with a wildcard at most at the start", () => {
  for (const good of ["*", "a", "a.b.c", "*.b.c", "*x", "*-bar.com"]) assert.ok(isWildcardName(good), good);
  for (const bad of ["", "a..b", "a.*.b", "foo*", "a b", "-a", "*."]) assert.ok(!isWildcardName(bad), bad);
});

test("exportTo: everybody, the own namespace, named ones, or nobody", () => {
  assert.equal(isVisible(["*"], "a", "b"), true);
  assert.equal(isVisible(["."], "a", "b"), false);
  assert.equal(isVisible(["."], "a", "a"), true);
  assert.equal(isVisible(["b"], "a", "b"), true);
  assert.equal(isVisible(["~"], "a", "a"), false);
});
