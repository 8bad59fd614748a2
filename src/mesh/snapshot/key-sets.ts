// Keys of token issuers as the control plane fetched them. A snapshot asks nobody; it is given what is known.
import { createHash } from "node:crypto";
import type { KeySource } from "../kinds/request-authentication/resolve.ts";
import type { KeyPlanner } from "./key-plan.ts";
import type { ObjectTable } from "./object-table.ts";

export type FetchedKeys =
  /** A JSON web key set. The failure is that of a later attempt, after which these keys stay in force. */
  | { readonly keys: string; readonly failure?: string }
  /** There were never any, for this reason. */
  | { readonly failure: string };

/** By `keySourceName`. */
export type KeySets = ReadonlyMap<string, FetchedKeys>;

export function keySourceName({ kind, url }: KeySource): string {
  return `${kind} ${url}`;
}

/** Every place that the control plane has to fetch keys from, once. */
export function keySources(objects: ObjectTable, planOf: KeyPlanner): KeySource[] {
  const sources = new Map<string, KeySource>();
  for (const { spec } of objects.all("RequestAuthentication")) {
    for (const rule of spec.jwtRules) {
      const plan = planOf(rule);
      if (plan.by !== "control plane") continue;
      const name = keySourceName(plan.source);
      if (!sources.has(name)) sources.set(name, plan.source);
    }
  }
  return [...sources.values()];
}

/** Equal keys give equal text. */
export function keySetsVersion(keySets: KeySets | undefined): string {
  if (keySets === undefined) return "";
  return createHash("sha256")
    .update(JSON.stringify([...keySets].sort(([a], [b]) => (a < b ? -1 : 1))))
    .digest("hex");
}
