import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import {
  explainSpiffeId,
  formatWorkloadIdentity,
  isTrustDomain,
  parseSpiffeId,
  parseWorkloadIdentity,
} from "./spiffe-id.ts";

const tables = join(import.meta.dirname, "../../../../shared/testdata/tables.json");

test("ids are accepted and refused as the specification says", () => {
  assert.deepEqual(parseSpiffeId("spiffe://td"), { trustDomain: "td", path: "" });
  assert.deepEqual(parseSpiffeId("spiffe://td/a/b.C_d-1"), { trustDomain: "td", path: "/a/b.C_d-1" });
  const bad = [
    "http://td/a spiffe:// spiffe:///a spiffe://TD/a spiffe://td:80/a spiffe://u@td/a spiffe://td/ spiffe://td//a".split(
      " ",
    ),
    "spiffe://td/a/ spiffe://td/./a spiffe://td/a/.. spiffe://td/%61 spiffe://td/a?b spiffe://td/a#b SPIFFE://td/a".split(
      " ",
    ),
    ["", "spiffe://td/é", `spiffe://td/${"a".repeat(2048)}`],
  ].flat();
  for (const text of bad) {
    assert.equal(parseSpiffeId(text), undefined, text);
    assert.ok(explainSpiffeId(text), text);
  }
});

/** The SPIFFE-ID specification, sections 2.1 to 2.3, rule by rule, as its reference libraries test it. */
const table: readonly (readonly [text: string, isValid: boolean])[] = [
  // Scheme.
  ["spiffe://trustdomain", true],
  ["spiffe:/trustdomain/path", false],
  ["spiffe:trustdomain/path", false],
  ["//trustdomain/path", false],
  ["://trustdomain/path", false],
  ["trustdomain/path", false],
  ["https://trustdomain/path", false],
  ["sPiFfE://trustdomain/path", false],
  [" spiffe://trustdomain/path", false],
  ["spiffe://trustdomain/path ", false],
  ["spiffe://trustdomain/path\n", false],
  ["\ufeffspiffe://trustdomain/path", false],
  // Trust domain: present, no port, no user, no address in brackets, small letters.
  ["spiffe://", false],
  ["spiffe:///path", false],
  ["spiffe://trust.domain-1_a", true],
  ["spiffe://1.2.3.4/a", true],
  ["spiffe://-/a", true],
  ["spiffe://a..b/a", true],
  ["spiffe://trustDomain/a", false],
  ["spiffe://trust domain/a", false],
  ["spiffe://trustdomain:443/a", false],
  ["spiffe://trustdomain:/a", false],
  ["spiffe://user@trustdomain/a", false],
  ["spiffe://@trustdomain/a", false],
  ["spiffe://[::1]/a", false],
  ["spiffe://trust%64omain/a", false],
  ["spiffe://trustdom\u00e4in/a", false],
  ["spiffe://trustdom\u0430in/a", false],
  ["spiffe://trust\u3002domain/a", false],
  [`spiffe://${"a".repeat(255)}`, true],
  [`spiffe://${"a".repeat(256)}`, false],
  // Path: segments that are neither empty nor relative, in plain characters; case counts.
  ["spiffe://td/path/element", true],
  ["spiffe://td/PATH/Element", true],
  ["spiffe://td/a.b_c-d/0", true],
  ["spiffe://td/...", true],
  ["spiffe://td/.a", true],
  ["spiffe://td/a.", true],
  ["spiffe://td/a..b", true],
  ["spiffe://td/", false],
  ["spiffe://td//", false],
  ["spiffe://td/a/", false],
  ["spiffe://td//a", false],
  ["spiffe://td/a//b", false],
  ["spiffe://td/.", false],
  ["spiffe://td/..", false],
  ["spiffe://td/a/./b", false],
  ["spiffe://td/a/../b", false],
  ["spiffe://td/%2e%2e/b", false],
  ["spiffe://td/a%20b", false],
  ["spiffe://td/a+b", false],
  ["spiffe://td/a b", false],
  ["spiffe://td/a\\b", false],
  ["spiffe://td/a\u0000b", false],
  ["spiffe://td/\u00e9", false],
  // Nothing behind the path.
  ["spiffe://td/a?query", false],
  ["spiffe://td/a#fragment", false],
  ["spiffe://td?query", false],
  ["spiffe://td#fragment", false],
  ["spiffe://td/a?", false],
  ["spiffe://td/a#", false],
  // 2048 bytes in all.
  [`spiffe://td/${"a".repeat(2048 - "spiffe://td/".length)}`, true],
  [`spiffe://td/${"a".repeat(2049 - "spiffe://td/".length)}`, false],
];

for (const [text, isValid] of table) {
  const shown = text.length > 60 ? `${text.slice(0, 20)}... (${text.length} bytes)` : JSON.stringify(text);
  test(`SPIFFE-ID 2: ${shown} is ${isValid ? "" : "no "}SPIFFE id`, () => {
    assert.equal(parseSpiffeId(text) !== undefined, isValid, explainSpiffeId(text) ?? "");
    assert.equal(explainSpiffeId(text) === undefined, isValid);
  });
}

test("SPIFFE-ID 2: of all characters of ASCII the named ones stand in trust domains and paths", () => {
  for (let code = 0; code < 128; code++) {
    const char = String.fromCharCode(code);
    assert.equal(
      parseSpiffeId(`spiffe://t${char}d/a`) !== undefined,
      /[a-z0-9._/-]/.test(char),
      `in a domain: ${code}`,
    );
    assert.equal(
      parseSpiffeId(`spiffe://td/a${char}b`) !== undefined,
      /[a-zA-Z0-9._/-]/.test(char),
      `in a path: ${code}`,
    );
  }
});

test("a workload's identity survives a round trip", () => {
  const identity = { trustDomain: "cluster.local", namespace: "default", serviceAccount: "bookinfo-reviews" };
  const text = formatWorkloadIdentity(identity);
  assert.equal(text, "spiffe://cluster.local/ns/default/sa/bookinfo-reviews");
  assert.deepEqual(parseWorkloadIdentity(text), identity);
  for (const other of ["/ns/a", "/sa/a/ns/b", "/ns/a/sa/b/c", "/ns/A/sa/b", "/ns/-a/sa/b", "/x/ns/a/sa/b"]) {
    assert.equal(parseWorkloadIdentity(`spiffe://td${other}`), undefined, other);
  }
});

test("what parses formats back to itself, and nothing throws", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const id = parseSpiffeId(`spiffe://${text}`);
      if (id !== undefined) assert.equal(`spiffe://${id.trustDomain}${id.path}`, `spiffe://${text}`);
    }),
  );
});

test("trust domains of Istio's own table", { skip: !existsSync(tables) && "no ../shared/testdata" }, () => {
  const suite = JSON.parse(readFileSync(tables, "utf8")) as {
    cases: { id: string; rows: { in: string; err: string }[] }[];
  };
  const rows = suite.cases.find((entry) => entry.id.includes("TestValidateTrustDomain"))?.rows ?? [];
  assert.ok(rows.length > 5);
  for (const row of rows) assert.equal(isTrustDomain(row.in), row.err === "", row.in);
});
