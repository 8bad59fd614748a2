import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeNameTable, encodeNameTable, type NameInfo, type NameTable } from "./name-table.ts";

const table: NameTable = new Map<string, NameInfo>([
  ["api.example", { ips: ["240.240.1.2", "2001:2::1"], registry: "External", shortName: "", namespace: "" }],
  [
    "web.default.svc.cluster.local",
    { ips: ["10.96.0.1"], registry: "Kubernetes", shortName: "web", namespace: "default" },
  ],
]);

test("a name table comes back as it went", () => {
  assert.deepEqual(decodeNameTable(encodeNameTable(table)), table);
  assert.deepEqual(decodeNameTable(new Uint8Array()), new Map());
});

test("the bytes are those of Istio's message", () => {
  const one = encodeNameTable(
    new Map([["a", { ips: ["1.2.3.4"], registry: "External", shortName: "", namespace: "" }]]),
  );
  // table { key: "a" value { ips: "1.2.3.4" registry: "External" } }
  assert.equal(
    Buffer.from(one).toString("hex"),
    "0a180a01611213" +
      "0a07" +
      Buffer.from("1.2.3.4").toString("hex") +
      "1208" +
      Buffer.from("External").toString("hex"),
  );
});

test("fields that are not known are passed over, a cut message is an error", () => {
  const unknown = Buffer.concat([Buffer.from([0x12, 2, 0x0a, 0]), encodeNameTable(table)]);
  assert.deepEqual(decodeNameTable(unknown), table);
  assert.throws(() => decodeNameTable(encodeNameTable(table).subarray(0, 20)));
});
