import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { ResourceTable } from "./resource-table.ts";

const any = (text: string) => create(AnySchema, { typeUrl: `t/${text}`, value: Buffer.from(text) });

function tableOf(names: readonly string[]): ResourceTable<string> {
  const table = new ResourceTable<string>();
  for (const name of names) table.set({ name, version: "1", any: any(name), value: name, lastUpdatedMs: 5 });
  return table;
}

test("resources that came together are packed, and are what they were", () => {
  const names = ["a", "", "long name", "z"];
  const table = tableOf(names);
  table.pack(names);
  assert.deepEqual(
    [...table.values()].map(({ name, version, any: { typeUrl, value }, value: decoded, lastUpdatedMs }) => [
      name,
      version,
      typeUrl,
      Buffer.from(value).toString(),
      decoded,
      lastUpdatedMs,
    ]),
    names.map((name) => [name, "1", `t/${name}`, name, name, 5]),
  );
});

test("a packed resource is confirmed under another version, replaced and removed like others", () => {
  const table = tableOf(["a", "b", "c"]);
  table.pack(["a", "b", "nobody"]);
  table.confirm("a", "2");
  assert.equal(table.get("a")?.version, "2");
  assert.equal(Buffer.from(table.get("a")?.any.value ?? []).toString(), "a");
  table.set({ name: "b", version: "3", any: any("new"), value: "new", lastUpdatedMs: 6 });
  assert.equal(Buffer.from(table.get("b")?.any.value ?? []).toString(), "new");
  table.confirm("c", "4");
  assert.equal(table.get("c")?.version, "4");
  assert.equal(table.delete("a"), true);
  assert.deepEqual(table.names(), ["b", "c"]);
});
