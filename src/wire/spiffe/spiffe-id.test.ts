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
