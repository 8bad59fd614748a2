import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import {
  hasEscapedSlash,
  isValidAuthority,
  mergeSlashes,
  normalizePath,
  portOfAuthority,
  splitAbsoluteForm,
  stripHost,
  unescapeSlashes,
} from "./request-path.ts";

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
  ["/a//../b", "/a/b", "/a/b"],
  ["/%61dmin", "/admin", "/admin"],
  ["/%7Euser/%2Dx", "/~user/-x", "/~user/-x"],
  ["/a%20b%3Bc%25", "/a%20b%3Bc%25", "/a%20b%3Bc%25"],
  ["/a%00b", null, null],
  ["/100%/%zz/%4", "/100%/%zz/%4", "/100%/%zz/%4"],
  ["/%2%65%2%65/admin", "/%2%65%2%65/admin", "/%2%65%2%65/admin"],
  ["/%%361dmin", "/%%361dmin", "/%%361dmin"],
  ["/%252e%252e/x", "/%252e%252e/x", "/%252e%252e/x"],
  ["/public/..;/admin", null, null],
  ["/public/.;x/admin", null, null],
  ["/public/%2e%2e;/admin", null, null],
  ["/admin;x=1", "/admin;x=1", "/admin;x=1"],
  ["/..", null, null],
  ["/.hidden", "/.hidden", "/.hidden"],
];

for (const [target, normal, merged] of rows) {
  test(`${target} is ${normal ?? "refused"}`, () => {
    const actual = normalizePath(target);
    assert.equal(actual, normal);
    assert.equal(actual === null ? null : mergeSlashes(actual), merged);
  });
}

test("a canonical path is its own canonical path, whatever it was made of", () => {
  const piece = fc.constantFrom("/", "//", ".", "..", "%2e", "%2E", "%", "%2", "2e", "e", "\\", "a", ";", "%61", "%2f");
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const once = normalizePath(`/${pieces.join("")}`);
      if (once === null) return;
      assert.equal(normalizePath(once), once);
      assert.doesNotMatch(once, /(^|\/)\.\.?(\/|$)|\\|%2e/i);
    }),
  );
});

test("slashes are merged in the path only", () => {
  assert.equal(mergeSlashes("//a///b//?x=//"), "/a/b/?x=//");
  assert.equal(mergeSlashes("/a?x=//"), "/a?x=//");
});

test("escaped slashes are seen in the path and not in the query", () => {
  for (const target of ["/a%2fb", "/a%2Fb", "/a%5cb?x", "/a%20%5C"]) assert.ok(hasEscapedSlash(target), target);
  for (const target of ["/a?x=%2f", "/a%20b", "/%252f", "/%2"]) assert.ok(!hasEscapedSlash(target), target);
});

test("escaped slashes become slashes in the path and stay in the query", () => {
  assert.equal(unescapeSlashes("/a%2Fb%5cc%2e?x=%2F"), "/a/b\\c%2e?x=%2F");
  assert.equal(normalizePath(unescapeSlashes("/public/%2e%2e%2fadmin")), "/admin");
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
  for (const good of ["a", "a.b:80", "[::1]:80", "[fe80::1%25eth0]", "A-b_c.d", "127.0.0.1", "a:"])
    assert.ok(isValidAuthority(good), good);
  const ports = ["a:b", "a:80:80", "a:65536", "a:-1", ":80", "[::1", "[::1]x", "[a]", "::1", "[::1]:x", "a]"];
  for (const bad of [...ports, "", "a b", "a/b", "a@b", "a#b", "a?b", "a\\b", "a\tb", "é", "a".repeat(600)]) {
    assert.ok(!isValidAuthority(bad), bad);
  }
});

test("host and port can be told apart", () => {
  assert.equal(stripHost("a.b.:443", false, true), "a.b:443");
  assert.equal(stripHost("a.b.", false, true), "a.b");
  assert.equal(stripHost("a:80", true, false), "a");
  assert.equal(stripHost("[::1]:80", true, true), "[::1]");
  assert.equal(stripHost(".", false, true), ".");
  assert.equal(portOfAuthority("[::1]:80"), 80);
  assert.equal(portOfAuthority("[::1]"), -1);
});

const llhttp = join(import.meta.dirname, "../../../../shared/testdata/llhttp.json");
/** Targets that llhttp takes apart and that are refused here. */
const userInformation = "user information in a target disguises the host";
const refusedHere: Readonly<Record<string, string>> = {
  "llhttp/url#173": userInformation,
  "llhttp/url#199": userInformation,
  "llhttp/url#211": userInformation,
};
/** Rows about bytes that the head parser refuses before anybody looks at a target. */
const refusedBefore: readonly string[] = ["llhttp/url#248", "llhttp/url#259"];

interface UrlRow {
  readonly id: string;
  readonly type: string;
  readonly rawText: string;
  readonly expect: { readonly error: unknown; readonly log: readonly string[] };
}

test("llhttp's URLs come apart as llhttp takes them apart", {
  skip: !existsSync(llhttp) && "test data is absent",
}, () => {
  const { cases } = JSON.parse(readFileSync(llhttp, "utf8")) as { cases: UrlRow[] };
  const rows = cases.filter((row) => row.type === "url" && !refusedBefore.includes(row.id));
  for (const { id, rawText, expect } of rows) {
    const part = (name: string): string => {
      const pattern = new RegExp(`span\\[url\\.${name}\\]="(.*)"`);
      return expect.log.map((line) => pattern.exec(line)?.[1]).find((text) => text !== undefined) ?? "";
    };
    const split = rawText.startsWith("/")
      ? { scheme: "", authority: "", path: rawText }
      : splitAbsoluteForm(rawText.trimEnd());
    if (expect.error !== null || refusedHere[id] !== undefined) {
      assert.equal(split, null, id);
      continue;
    }
    assert.equal(split?.scheme, part("schema"), id);
    assert.equal(split.authority, part("host"), id);
    if (split.authority !== "") assert.ok(isValidAuthority(split.authority), id);
    const query = part("query");
    const fragment = part("fragment");
    const rest = `${part("path") || "/"}${query === "" ? "" : `?${query}`}${fragment === "" ? "" : `#${fragment}`}`;
    assert.equal(split.path.trimEnd(), rest, id);
  }
  assert.ok(rows.length >= 19);
});
