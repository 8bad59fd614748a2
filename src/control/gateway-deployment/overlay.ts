// Strategic merge patches of Kubernetes' own kinds, as far as they are laid on what runs a gateway: mappings are merged,
// items of lists that have a key are merged by it, other lists are replaced, null removes. Directives: `$patch: delete`
// and `$patch: replace`.
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";

type JsonRecord = Readonly<Record<string, unknown>>;

export function withOverlays(object: KubernetesObject, overlays: readonly JsonRecord[] = []): KubernetesObject {
  return overlays.reduce<KubernetesObject>((result, overlay) => {
    const merged = mergeRecord(result.kind, [], result, overlay);
    return { ...result, ...merged };
  }, object);
}

function mergeRecord(kind: string, path: readonly string[], target: JsonRecord, patch: JsonRecord): JsonRecord {
  if (patch["$patch"] === "replace") return withoutDirective(patch);
  if (patch["$patch"] === "delete") return {};
  const result = new Map(Object.entries(target));
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) result.delete(key);
    else result.set(key, mergeValue(kind, [...path, key], result.get(key), value));
  }
  return Object.fromEntries(result);
}

function mergeValue(kind: string, path: readonly string[], target: unknown, patch: unknown): unknown {
  if (isRecord(patch)) return mergeRecord(kind, path, isRecord(target) ? target : {}, patch);
  if (!Array.isArray(patch)) return patch;
  const key = listKey(kind, path);
  const items = patch.filter(isRecord);
  if (key === undefined || items.length < patch.length) return patch;
  const isReplaced = items.some((item) => item["$patch"] === "replace" && item[key] === undefined);
  if (isReplaced) return items.filter((item) => item["$patch"] === undefined);
  return mergeList(kind, path, { key, target: Array.isArray(target) ? target.filter(isRecord) : [], items });
}

function mergeList(
  kind: string,
  path: readonly string[],
  {
    key,
    target,
    items,
  }: { readonly key: string; readonly target: readonly JsonRecord[]; readonly items: JsonRecord[] },
): JsonRecord[] {
  const result = [...target];
  for (const item of items) {
    const index = result.findIndex((other) => other[key] === item[key]);
    const before = result[index];
    if (item["$patch"] === "delete") {
      if (index !== -1) result.splice(index, 1);
    } else if (before === undefined) result.push(withoutDirective(item));
    else result[index] = mergeRecord(kind, path, before, item);
  }
  return result;
}

/** The field that tells the items of a list apart; undefined where the list is one value. */
function listKey(kind: string, path: readonly string[]): string | undefined {
  const [field = "", parent = ""] = [path.at(-1), path.at(-2)];
  if (field === "ports") return kind === "Service" ? "port" : "containerPort";
  if (field === "env" || (field === "volumes" && parent === "spec")) return "name";
  if (field === "volumeMounts") return "mountPath";
  return ["containers", "initContainers", "imagePullSecrets", "secrets"].includes(field) ? "name" : undefined;
}

function withoutDirective(patch: JsonRecord): JsonRecord {
  return Object.fromEntries(Object.entries(patch).filter(([key]) => key !== "$patch"));
}

function isRecord(value: unknown): value is JsonRecord {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
