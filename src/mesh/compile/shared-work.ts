// Work that proxies share. Results hang on the object they were computed from (a snapshot, or a scope of it), so they
// go when it goes.

const resultsByOwner = new WeakMap<object, Map<string, unknown>>();

/** Computes a value once per owner and key. The key must name every input that the owner does not determine. */
export function once<Value>(owner: object, key: string, compute: () => Value): Value {
  let results = resultsByOwner.get(owner);
  if (results === undefined) {
    results = new Map();
    resultsByOwner.set(owner, results);
  }
  if (results.has(key)) return results.get(key) as Value;
  const value = compute();
  results.set(key, value);
  return value;
}
