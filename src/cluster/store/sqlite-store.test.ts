import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { hasCode } from "#base/error.ts";
import { openStore } from "./open-store.ts";
import { configMaps } from "./resources.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-sqlite-"));
after(() => rmSync(folder, { recursive: true }));

const map = (name: string) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace: "default" },
  data: { k: name },
});

test("what was written is there in the next life, and versions go on counting", () => {
  const path = join(folder, "next.db");
  const first = openStore({ path });
  const kept = first.create(configMaps, map("kept"));
  first.create(configMaps, map("gone"));
  const { resourceVersion } = first.delete(configMaps, "default", "gone").metadata;
  first.close();
  const second = openStore({ path });
  assert.deepEqual(second.list(configMaps).items, [kept]);
  assert.equal(second.resourceVersion, resourceVersion);
  assert.equal(Number(second.create(configMaps, map("new")).metadata.resourceVersion), Number(resourceVersion) + 1);
  second.close();
});

test("a process that was killed has lost nothing that it was told is written", () => {
  const path = join(folder, "killed.db");
  const first = openStore({ path });
  first.create(configMaps, map("a"));
  // No close: the database and its log are as a killed process leaves them.
  const copy = join(folder, "copy");
  for (const suffix of ["", "-wal"]) cpSync(`${path}${suffix}`, `${copy}${suffix}`);
  const second = openStore({ path: copy });
  assert.equal(second.list(configMaps).items.length, 1);
  second.close();
  first.close();
});

test("who watched in an earlier life must list again", () => {
  const path = join(folder, "watch.db");
  const first = openStore({ path });
  const { resourceVersion = "" } = first.create(configMaps, map("a")).metadata;
  first.create(configMaps, map("b"));
  first.close();
  const second = openStore({ path });
  assert.throws(
    () => second.watch(configMaps, { fromVersion: resourceVersion }, () => {}),
    (error) => hasCode(error, "EXPIRED"),
  );
  second.close();
});

test("the database is for its owner's eyes only, and for one process at a time", () => {
  const path = join(folder, "deep", "mine.db");
  const store = openStore({ path });
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.throws(
    () => openStore({ path }),
    (error) => hasCode(error, "STORE_IN_USE"),
  );
  store.close();
});
