// Loads @peculiar/x509 as a judge for our tests. It wants the metadata reflection of `reflect-metadata`, which is not
// among our dependencies; three functions over a map are all it calls. Not for production code.

import type * as x509 from "@peculiar/x509";

interface MetadataReflect {
  defineMetadata?: (key: unknown, value: unknown, target: object) => void;
  getMetadata?: (key: unknown, target: object) => unknown;
  getOwnMetadata?: (key: unknown, target: object) => unknown;
}

export async function loadX509Oracle(): Promise<typeof x509> {
  const reflect = Reflect as MetadataReflect;
  if (reflect.getMetadata === undefined) {
    const stored = new WeakMap<object, Map<unknown, unknown>>();
    const get = (key: unknown, target: object): unknown => stored.get(target)?.get(key);
    reflect.defineMetadata = (key, value, target) => {
      stored.set(target, (stored.get(target) ?? new Map()).set(key, value));
    };
    reflect.getMetadata = get;
    reflect.getOwnMetadata = get;
  }
  return import("@peculiar/x509");
}
