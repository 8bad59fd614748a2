// Opens the store that the options name.

import { type Clock, systemClock } from "#base/time/clock.ts";
import { MemoryStore } from "./memory-store.ts";
import { openSqliteStore } from "./sqlite-store.ts";
import type { ObjectStore } from "./store.ts";

export type StoreOptions = ({ readonly path: string } | { readonly memory: true }) & { readonly clock?: Clock };

/** Opens the SQLite store at the path (file `…/cluster.db`, made when absent, mode 0600), or one in memory. */
export function openStore(options: StoreOptions): ObjectStore {
  const clock = options.clock ?? systemClock;
  return "path" in options ? openSqliteStore(options.path, clock) : new MemoryStore({ clock });
}
