import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Http2Stream } from "./stream.ts";
import { StreamTable } from "./stream-table.ts";

const id = fc.integer({ min: 1, max: 200 });
const step = fc.oneof(
  fc.record({ kind: fc.constant("add"), id }),
  fc.record({ kind: fc.constant("delete"), id }),
  fc.record({ kind: fc.constant("get"), id }),
);

test("a table holds what a Map would hold", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const table = new StreamTable();
      const map = new Map<number, Http2Stream>();
      for (const { kind, id: index } of steps) {
        // Ids far apart meet in one slot.
        const key = index % 2 === 0 ? index : index * 1024 + 1;
        if (kind === "add" && !map.has(key)) {
          const stream = { id: key } as Http2Stream;
          map.set(key, stream);
          table.add(stream);
        } else if (kind === "delete") {
          map.delete(key);
          table.delete(key);
        }
        assert.equal(table.get(key), map.get(key));
        assert.equal(table.size, map.size);
      }
      assert.deepEqual(new Set(table.list()), new Set(map.values()));
    }),
  );
});
