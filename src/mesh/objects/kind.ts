// What a kind's folder gives to the rest: how to read an object of that kind and how to tell whether it is valid.
import type { KubernetesObject } from "./kubernetes-object.ts";
import type { Report } from "./report.ts";

export interface Kind<Spec> {
  readonly kind: string;
  /** Reads the object; undefined only when the whole of it is unreadable (already reported). */
  decode(object: KubernetesObject, report: Report): Spec | undefined;
  /** Reports what the field types cannot say. */
  validate(spec: Spec, report: Report, object: KubernetesObject): void;
  /** Expands short names; the shape, and so the paths, stay the same. */
  expand?(spec: Spec, scope: NameScope): Spec;
}

/** Where short names are looked up. */
export interface NameScope {
  readonly namespace: string;
  /** `cluster.local` */
  readonly domain: string;
}
