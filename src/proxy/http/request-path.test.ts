import assert from "node:assert/strict";
import { test } from "node:test";
import { isValidAuthority, normalizePath, splitAbsoluteForm, unescapeSlashes } from "./request-path.ts";

const rows: readonly (readonly [string, string | null, string | null])[] = [
  // target, normalized, normalized with merged slashes
  ["/", "/", "/"],
  ["/a/b?x=/../y", "/a/b?x=/../y", "/a/b?x=/../y"],
  ["/a/./b", "/a/b", "/a/b"],
  ["/a/../b", "/b", "/b"],
  ["/a/b/..", "/a/", "/a/"],
  ["/a/b/.", "/a/b/", "/a/b/"],
  ["/%2e%2E/a", null, null],
  ["/a/%2e%2e/admin", "/admin", "/admin"],
  ["/a/.%2e/admin", "/admin", "/admin"],
  ["/a\\..\\admin", "/admin", "/admin"],
  ["//admin", "//admin", "/admin"],
  ["/a//b/", "/a//b/", "/a/b/"],
  ["/a///", "/a///", "/a/"],
  ["/a%2Fb", "/a%2Fb", "/a%2Fb"],
  ["/a/...", "/a/...", "/a/..."],
  ["/..", null, null],
  ["/.hidden", "/.hidden", "/.hidden"],
];

for (const [target, normal, merged] of rows) {
  test(`${target} is ${normal ?? "refused"}`, () => {
    assert.equal(normalizePath(target, false), normal);
    assert.equal(normalizePath(target, true), merged);
  });
}

test("escaped slashes become slashes in the path and stay in the query", () => {
  assert.equal(unescapeSlashes("/a%2Fb%5cc%2e?x=%2F"), "/a/b\\c%2e?x=%2F");
  assert.equal(normalizePath(unescapeSlashes("/public/%2e%2e%2fadmin"), true), "/admin");
});

test("the absolute form gives scheme, authority and path", () => {
  assert.deepEqual(splitAbsoluteForm("HTTP://a:80/x?y"), { scheme: "http", authority: "a:80", path: "/x?y" });
  assert.deepEqual(splitAbsoluteForm("http://a"), { scheme: "http", authority: "a", path: "/" });
  assert.deepEqual(splitAbsoluteForm("https://a?q"), { scheme: "https", authority: "a", path: "/?q" });
  assert.equal(splitAbsoluteForm("http://u@a/"), null);
  assert.equal(splitAbsoluteForm("ftp://a/"), null);
  assert.equal(splitAbsoluteForm("a"), null);
});

test("an authority holds nothing that could be read as something else", () => {
  for (const good of ["a", "a.b:80", "[::1]:80", "A-b_c.d", "127.0.0.1"]) assert.ok(isValidAuthority(good), good);
  for (const bad of ["", "a b", "a/b", "a@b", "a#b", "a?b", "a\\b", "a\tb", "é", "a".repeat(600)]) {
    assert.ok(!isValidAuthority(bad), bad);
  }
});
