// Keys of the cluster itself live in the store, made when first asked for, under a resource that the API does not
// serve: no role, however wide, can read them.

import { asRecord } from "../store/json.ts";
import { clusterKeys } from "../store/resources.ts";
import type { ObjectStore } from "../store/store.ts";

/** Reads a key as PEM texts by name of their part (`tls.key`, `tls.crt`); makes it from `create` when there is none. */
export function clusterKey(
  store: ObjectStore,
  name: string,
  create: () => Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const stored =
    store.get(clusterKeys, "", name) ??
    store.create(clusterKeys, {
      apiVersion: `${clusterKeys.group}/v1`,
      kind: "ClusterKey",
      metadata: { name },
      data: create(),
    });
  return Object.fromEntries(Object.entries(asRecord(stored["data"])).map(([part, text]) => [part, String(text)]));
}
