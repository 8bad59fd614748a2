// The JSON Patch (RFC 6902) that turns one JSON value into another. Lists that differ are replaced as a whole: the patch
// is applied to the very object it was made from, so smaller is not safer.

export type PatchOperation =
  | { readonly op: "add" | "replace"; readonly path: string; readonly value: unknown }
  | { readonly op: "remove"; readonly path: string };

export function jsonPatch(before: unknown, after: unknown, path = ""): PatchOperation[] {
  if (!isObject(before) || !isObject(after)) {
    return isEqual(before, after) ? [] : [{ op: "replace", path, value: after }];
  }
  const operations: PatchOperation[] = [];
  for (const key of Object.keys(before)) {
    if (after[key] === undefined) operations.push({ op: "remove", path: `${path}/${escapeKey(key)}` });
  }
  for (const [key, value] of Object.entries(after)) {
    if (value === undefined) continue;
    const place = `${path}/${escapeKey(key)}`;
    if (Object.hasOwn(before, key)) operations.push(...jsonPatch(before[key], value, place));
    else operations.push({ op: "add", path: place, value });
  }
  return operations;
}

function escapeKey(key: string): string {
  return key.replaceAll("~", "~0").replaceAll("/", "~1");
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isEqual(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
