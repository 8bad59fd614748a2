import assert from "node:assert/strict";
import { test } from "node:test";
import { readConfigDump } from "./config-dump.ts";
import { secretTable } from "./secret-table.ts";
import { envoyDump } from "./testing/envoy-dump.ts";

const { secrets } = readConfigDump(envoyDump);
const rows = (nowMs: number): string[][] =>
  secretTable(secrets, nowMs)
    .trimEnd()
    .split("\n")
    .map((line) => line.split(/ {5,}/));

test("secrets show what their certificate says, and one that is none as not valid", () => {
  assert.deepEqual(rows(Date.UTC(2030, 0)), [
    ["RESOURCE NAME", "TYPE", "STATUS", "VALID CERT", "SERIAL NUMBER", "NOT AFTER", "NOT BEFORE"],
    ["default", "Cert Chain", "ACTIVE", "true", "1234abcd", "2054-04-07T04:01:39Z", "2026-11-21T04:01:39Z"],
    ["ROOTCA", "CA", "WARMING", "false", "-", "-", "-"],
  ]);
});

test("a certificate is not valid before its time nor after it", () => {
  assert.equal(rows(Date.UTC(2026, 0))[1]?.[3], "false");
  assert.equal(rows(Date.UTC(2055, 0))[1]?.[3], "false");
});
