import assert from "node:assert/strict";
import { test } from "node:test";
import type { MeshObject } from "../objects/mesh-object.ts";
import { ObjectTable } from "./object-table.ts";

function object(kind: string, name: string, createdAt: number): MeshObject<unknown> {
  const origin = { kind, namespace: "default", name };
  return {
    kind,
    apiVersion: "v1",
    metadata: { name },
    name,
    namespace: "default",
    createdAt,
    spec: {},
    origin,
    position: () => undefined,
  };
}

test("a table in which objects were replaced is the table that would be made of them", () => {
  // A small generator of its own, so that every run is the same.
  let seed = 7;
  const random = (below: number): number => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    return seed % below;
  };
  const present = new Map<string, MeshObject<unknown>>();
  let table = new ObjectTable([]);
  for (let step = 0; step < 200; step++) {
    // Both kinds of index are there, or not yet.
    if (step > 20) table.find("Pod", "default", "0");
    if (step > 40) table.inNamespace("Pod", "default");
    const before: MeshObject<unknown>[] = [];
    const after: MeshObject<unknown>[] = [];
    for (let count = random(6); count >= 0; count--) {
      const [kind, name] = [random(3) === 0 ? "Service" : "Pod", String(random(30))];
      const known = present.get(`${kind}/${name}`);
      if (known !== undefined && !after.includes(known)) before.push(known);
      if (known !== undefined && random(4) === 0) after.push(known);
      else if (known === undefined || !after.includes(known)) {
        present.delete(`${kind}/${name}`);
        if (random(3) > 0) {
          const next = object(kind, name, random(5));
          present.set(`${kind}/${name}`, next);
          after.push(next);
        }
      }
    }
    // What came and went again within one step was never there.
    const isThere = (item: MeshObject<unknown>): boolean => present.get(`${item.kind}/${item.name}`) === item;
    table = table.replaced(before, after.filter(isThere));
    const fresh = new ObjectTable(present.values());
    for (const kind of ["Pod", "Service"] as const) {
      assert.deepEqual(table.all(kind), fresh.all(kind), `step ${step}`);
      assert.deepEqual(table.inNamespace(kind, "default"), fresh.inNamespace(kind, "default"));
      for (let name = 0; name < 30; name++) {
        assert.equal(table.find(kind, "default", String(name)), fresh.find(kind, "default", String(name)));
      }
    }
  }
});
