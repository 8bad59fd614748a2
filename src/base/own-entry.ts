// Looks a name up in a table that is an object. The name may come from anybody: `constructor` and `__proto__` are in
// every object, and in no table (the mistake behind CVE-2026-21710).
export function ownEntry<T>(table: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}
