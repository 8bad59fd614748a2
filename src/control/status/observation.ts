// What a control plane sees of each object of the user at the proxies that are connected to it. What several replicas see
// adds up: a proxy is connected to one of them.
import { joinEffects, type PatchEffect, type PatchedProxy, patchEffects } from "#mesh/compile/patches/effects.ts";
import { objectKey } from "#mesh/objects/mesh-object.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import type { ProxyConnection } from "../xds/connection.ts";
import { maxRejections, noProgress, type Progress, progressOf } from "./progress.ts";

export interface Observation {
  readonly progress: Progress;
  /** Of a Wasm module: proxies with listeners that it is for. */
  readonly moduleProxies: number;
  /** Of an EnvoyFilter that is for any of the proxies: what each patch changes. */
  readonly effects?: readonly PatchEffect[];
}

/** By object key. */
export type Observations = ReadonlyMap<string, Observation>;

export const nothingSeen: Observation = { progress: noProgress, moduleProxies: 0 };

export function observe(snapshot: MeshSnapshot, connections: Iterable<ProxyConnection>): Observations {
  const all = [...connections];
  const progress = progressOf(all, snapshot);
  const hasPatches = snapshot.objects("EnvoyFilter").length > 0;
  const effects = hasPatches ? patchEffects(snapshot, all.map(patchedProxy)) : new Map<string, PatchEffect[]>();
  const modules = proxiesByModule(snapshot, all);
  const keys = new Set([...progress.keys(), ...effects.keys(), ...modules.keys()]);
  return new Map(
    [...keys].map((key) => {
      const patches = effects.get(key);
      const seen = { progress: progress.get(key) ?? noProgress, moduleProxies: modules.get(key) ?? 0 };
      return [key, patches === undefined ? seen : { ...seen, effects: patches }];
    }),
  );
}

export function joinObservations(one: Observation, other: Observation): Observation {
  const effects =
    one.effects === undefined || other.effects === undefined
      ? (one.effects ?? other.effects)
      : joinEffects(one.effects, other.effects);
  return {
    progress: {
      proxies: one.progress.proxies + other.progress.proxies,
      current: one.progress.current + other.progress.current,
      rejections: [...one.progress.rejections, ...other.progress.rejections].slice(0, maxRejections),
    },
    moduleProxies: one.moduleProxies + other.moduleProxies,
    ...(effects !== undefined && { effects }),
  };
}

/** How many proxies with listeners each Wasm module is for, by its object. */
function proxiesByModule(snapshot: MeshSnapshot, connections: readonly ProxyConnection[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { node, types } of connections) {
    if ((types.get(typeUrl.listener)?.ackedAtMs ?? 0) === 0) continue;
    for (const { object } of snapshot.extensions(node)) {
      const key = objectKey(object);
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  }
  return counts;
}

/** While the last push to it failed, or nothing was pushed yet, nobody knows. */
function patchedProxy({ node, session }: ProxyConnection): PatchedProxy {
  const { patches } = session.resources;
  return { node, applied: patches && patches.clusters.union(patches.routing) };
}
