// Strategic merge of a partial pod over a pod, with the merge keys of Kubernetes' Pod API: objects merge field by
// field, keyed lists merge item by item (new items come first, in the overlay's order), other lists are replaced.
// null removes a field.
import { isRecord, type JsonRecord } from "./pod.ts";

const mergeKeys: Readonly<Record<string, readonly string[]>> = {
  containers: ["name"],
  initContainers: ["name"],
  ephemeralContainers: ["name"],
  env: ["name"],
  volumes: ["name"],
  volumeMounts: ["mountPath"],
  volumeDevices: ["devicePath"],
  imagePullSecrets: ["name"],
  hostAliases: ["ip"],
  ports: ["containerPort", "protocol"],
  topologySpreadConstraints: ["topologyKey", "whenUnsatisfiable"],
};

/** Fields of which an item holds exactly one at a time: a patch with another one replaces the whole item. */
const replacedWhole: ReadonlySet<string> = new Set(["volumes", "env"]);

export function overlay<T>(base: T, patch: unknown): T {
  return mergeValue(base, patch, "") as T;
}

function mergeValue(base: unknown, patch: unknown, field: string): unknown {
  if (isRecord(patch)) return mergeRecord(isRecord(base) ? base : {}, patch);
  const keys = mergeKeys[field];
  if (Array.isArray(patch) && keys !== undefined) {
    return mergeList(Array.isArray(base) ? base : [], patch, field, keys);
  }
  return patch;
}

function mergeRecord(base: JsonRecord, patch: JsonRecord): JsonRecord {
  const merged: Record<string, unknown> = { ...base };
  for (const [field, value] of Object.entries(patch)) {
    if (value === undefined) continue;
    if (value === null) delete merged[field];
    else merged[field] = mergeValue(base[field], value, field);
  }
  return merged;
}

function mergeList(
  base: readonly unknown[],
  patch: readonly unknown[],
  field: string,
  keys: readonly string[],
): readonly unknown[] {
  const identity = (item: unknown): string =>
    keys.map((key) => String((isRecord(item) ? item[key] : undefined) ?? "TCP")).join("\n");
  const baseByKey = new Map(base.map((item) => [identity(item), item]));
  const patched = new Map<string, unknown>();
  const deleted = new Set<string>();
  for (const item of patch) {
    const key = identity(item);
    if (isRecord(item) && item["$patch"] === "delete") deleted.add(key);
    else patched.set(key, mergeItem(baseByKey.get(key), item, field));
  }
  return interleave(
    base.filter((item) => !patched.has(identity(item)) && !deleted.has(identity(item))),
    [...patched.values()],
    new Map(base.map((item, index) => [identity(item), index])),
    identity,
  );
}

function mergeItem(base: unknown, patch: unknown, field: string): unknown {
  if (!isRecord(base) || !isRecord(patch)) return patch;
  if (!replacedWhole.has(field)) return mergeRecord(base, patch);
  return Object.keys(patch).length > 1 ? patch : base;
}

/** Keeps both orders; an untouched item goes before a patched one only when it stood before it. */
function interleave(
  untouched: readonly unknown[],
  patched: readonly unknown[],
  positions: ReadonlyMap<string, number>,
  identity: (item: unknown) => string,
): unknown[] {
  const result: unknown[] = [];
  let next = 0;
  for (const item of patched) {
    const place = positions.get(identity(item));
    while (place !== undefined && next < untouched.length) {
      if ((positions.get(identity(untouched[next])) ?? 0) > place) break;
      result.push(untouched[next]);
      next += 1;
    }
    result.push(item);
  }
  return [...result, ...untouched.slice(next)];
}
