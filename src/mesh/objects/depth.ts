// How deep an object may be nested, from whatever source: reading recurses, and a stack has an end.

/** What a YAML document may have too. */
export const maxObjectDepth = 100;

export function isTooDeep(value: unknown, levels: number = maxObjectDepth): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (levels < 0) return true;
  for (const item of Array.isArray(value) ? value : Object.values(value)) {
    if (typeof item === "object" && isTooDeep(item, levels - 1)) return true;
  }
  return false;
}
