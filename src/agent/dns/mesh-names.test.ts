import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { encodeNameTable, type NameInfo, type NameTable, nameTableType } from "#wire/xds/name-table.ts";
import { MeshNames } from "./mesh-names.ts";

const external = (...ips: string[]): NameInfo => ({ ips, registry: "External", shortName: "", namespace: "" });
const kubernetes = (shortName: string, namespace: string, ...ips: string[]): NameInfo => ({
  ips,
  registry: "Kubernetes",
  shortName,
  namespace,
});

const table: NameTable = new Map<string, NameInfo>([
  ["api.example", external("240.240.0.1")],
  ["*.wild.example", external("240.240.0.2")],
  ["*.deep.wild.example", external("240.240.0.3")],
  ["web.default.svc.cluster.local", kubernetes("web", "default", "10.96.0.1")],
  ["db.data.svc.cluster.local", kubernetes("db", "data", "10.244.0.4", "10.244.0.5")],
  ["db-0.db.data.svc.cluster.local", kubernetes("db-0.db", "data", "10.244.0.4")],
  ["nowhere.example", external()],
]);

function names(): MeshNames {
  const made = new MeshNames({
    namespace: "default",
    domain: "default.svc.cluster.local",
    searchDomains: ["default.svc.cluster.local", "svc.cluster.local", "cluster.local"],
  });
  made.use(table);
  return made;
}

const questions: readonly [name: string, addresses: string | undefined, alias?: string][] = [
  ["api.example", "240.240.0.1"],
  ["api.example.default.svc.cluster.local", "240.240.0.1", "api.example"],
  ["api.example.svc.cluster.local", undefined],
  ["a.wild.example", "240.240.0.2"],
  ["a.b.wild.example", "240.240.0.2"],
  ["a.deep.wild.example", "240.240.0.3"],
  ["wild.example", undefined],
  ["a.wild.example.default.svc.cluster.local", "240.240.0.2", "a.wild.example"],
  ["web", "10.96.0.1"],
  ["web.default", "10.96.0.1"],
  ["web.default.svc", "10.96.0.1"],
  ["web.default.svc.cluster.local", "10.96.0.1"],
  ["db", undefined],
  ["db.data", "10.244.0.4,10.244.0.5"],
  ["db-0.db.data", "10.244.0.4"],
  ["nowhere.example", undefined],
  ["example", undefined],
];
for (const [name, addresses, alias] of questions) {
  test(`${name} is ${addresses ?? "none of the mesh's names"}`, () => {
    const found = names().find(name);
    assert.equal(found?.addresses.join(), addresses);
    assert.equal(found?.alias, alias);
  });
}

test("a table that cannot be read is refused, and the last one stays", () => {
  const made = names();
  const bytes = encodeNameTable(table).subarray(0, 30);
  const resource = create(AnySchema, { typeUrl: nameTableType, value: bytes });
  const update = { typeUrl: nameTableType, version: "", added: [{ name: "", version: "1", resource }], removed: [] };
  assert.match(made.update(update).get("") ?? "", /name table could not be read/);
  assert.equal(made.find("web")?.addresses.join(), "10.96.0.1");
});

test("before the first table nothing is known", () => {
  const made = new MeshNames({ namespace: "default", domain: "", searchDomains: [] });
  assert.equal(made.isReady, false);
  assert.equal(made.find("web"), undefined);
});
