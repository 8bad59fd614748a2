// Work that proxies share. Results hang on the objects they were computed from (a snapshot, a scope of it, a service), so
// they go when one of these goes. What hangs on something that outlives a snapshot is not computed again for the next.

/** Most have results or a next owner, not both. */
interface Shelf {
  results: Map<string, unknown> | undefined;
  /** Of results that have one owner more. */
  next: WeakMap<object, Shelf> | undefined;
}

const byFirstOwner = new WeakMap<object, Shelf>();

/** Stands for an owner that there is not. */
export const nobody: object = {};

/** Computes a value once per owner and key. The key must name every input that the owner does not determine. */
export function once<Value>(owner: object, key: string, compute: () => Value): Value {
  return resultOf(shelfOf(byFirstOwner, owner), key, compute);
}

/** Owners may outlive many snapshots, and keys name what proxies say of themselves: the oldest results go. */
const maxResults = 1000;

/** The same for several owners together, in their order. */
export function onceForAll<Value>(owners: readonly [object, ...object[]], key: string, compute: () => Value): Value {
  let shelf = shelfOf(byFirstOwner, owners[0]);
  for (let index = 1; index < owners.length; index++) {
    shelf.next ??= new WeakMap();
    shelf = shelfOf(shelf.next, owners[index] ?? nobody);
  }
  const result = resultOf(shelf, key, compute);
  if (shelf.results !== undefined && shelf.results.size > maxResults) forgetOldest(shelf.results);
  return result;
}

function forgetOldest(results: Map<string, unknown>): void {
  for (const key of results.keys()) {
    results.delete(key);
    return;
  }
}

function shelfOf(shelves: WeakMap<object, Shelf>, owner: object): Shelf {
  let shelf = shelves.get(owner);
  if (shelf === undefined) {
    shelf = { results: undefined, next: undefined };
    shelves.set(owner, shelf);
  }
  return shelf;
}

function resultOf<Value>(shelf: Shelf, key: string, compute: () => Value): Value {
  shelf.results ??= new Map();
  const { results } = shelf;
  if (results.has(key)) return results.get(key) as Value;
  const value = compute();
  results.set(key, value);
  return value;
}
