// Keeps the objects in SQLite, one row each. Written through before a write is seen; read only at the start.

import { chmodSync, closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { OutriggerError } from "#base/error.ts";
import type { Clock } from "#base/time/clock.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { frozenCopy } from "./json.ts";
import { type Journal, MemoryStore } from "./memory-store.ts";
import type { ObjectStore } from "./store.ts";

const schemaVersion = 1;

/** Opens or makes the database. It holds secrets: mode 0600. One process at a time: STORE_IN_USE otherwise. */
export function openSqliteStore(path: string, clock: Clock): ObjectStore {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  closeSync(openSync(path, "a", 0o600));
  chmodSync(path, 0o600);
  return new MemoryStore({ clock, journal: openJournal(path) });
}

function openJournal(path: string): Journal {
  const database = openDatabase(path);
  const put = database.prepare(
    "INSERT OR REPLACE INTO objects (grp, plural, namespace, name, version, json) VALUES (?, ?, ?, ?, ?, ?)",
  );
  const remove = database.prepare("DELETE FROM objects WHERE grp = ? AND plural = ? AND namespace = ? AND name = ?");
  const setVersion = database.prepare("UPDATE state SET version = ?");
  return {
    load: (visit) => {
      const state = database.prepare("SELECT version FROM state").get();
      let version = Number(state?.["version"] ?? 0);
      for (const row of database.prepare("SELECT grp, plural, version, json FROM objects").iterate()) {
        version = Math.max(version, Number(row["version"]));
        const object = frozenCopy(JSON.parse(String(row["json"])) as KubernetesObject);
        visit({ group: String(row["grp"]), plural: String(row["plural"]) }, object);
      }
      return version;
    },
    put: (resource, object, version) => {
      const { namespace = "", name } = object.metadata;
      put.run(resource.group, resource.plural, namespace, name, version, JSON.stringify(object));
    },
    remove: (resource, object, version) => {
      const { namespace = "", name } = object.metadata;
      database.exec("BEGIN");
      try {
        remove.run(resource.group, resource.plural, namespace, name);
        setVersion.run(version);
        database.exec("COMMIT");
      } catch (error) {
        database.exec("ROLLBACK");
        throw error;
      }
    },
    close: () => database.close(),
  };
}

function openDatabase(path: string): DatabaseSync {
  const database = new DatabaseSync(path);
  try {
    // Exclusive: nobody else may write what only we hold in memory, and the WAL needs no shared memory file.
    database.exec(`
      PRAGMA locking_mode = EXCLUSIVE;
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = NORMAL;
    `);
    const found = Number(database.prepare("PRAGMA user_version").get()?.["user_version"] ?? 0);
    if (found > schemaVersion) {
      throw new OutriggerError("STORE_TOO_NEW", `${path} was written by a newer version (schema ${found})`);
    }
    database.exec(`
      BEGIN IMMEDIATE;
      CREATE TABLE IF NOT EXISTS objects (
        grp TEXT NOT NULL, plural TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
        version INTEGER NOT NULL, json TEXT NOT NULL,
        PRIMARY KEY (grp, plural, namespace, name)
      ) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS state (version INTEGER NOT NULL);
      INSERT INTO state SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM state);
      PRAGMA user_version = ${schemaVersion};
      COMMIT;
    `);
    return database;
  } catch (error) {
    database.close();
    if (error instanceof Error && /locked|busy/i.test(error.message)) {
      throw new OutriggerError("STORE_IN_USE", `${path} is in use by another process`, { cause: error });
    }
    throw error;
  }
}
