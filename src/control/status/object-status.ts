// The one state of every object of Istio's kinds: what the configuration says about it, and at how many of the proxies
// that it concerns it is in force.
import {
  type PatchEffect,
  type PatchedProxy,
  patchEffects,
  reasonsByEffects,
  stateByEffects,
} from "#mesh/compile/patches/effects.ts";
import { objectKey } from "#mesh/objects/mesh-object.ts";
import { ForceState, type MeshSnapshot, type ResourceState } from "#mesh/snapshot/snapshot.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import type { ProxyConnection } from "../xds/connection.ts";
import { noProgress, type Progress, progressOf } from "./progress.ts";

export interface ObjectStatus extends ResourceState {
  /** At the proxies that are connected to this control plane. */
  readonly progress: Progress;
  /** Of an EnvoyFilter that is for any of them. */
  readonly patches?: {
    readonly effects: readonly PatchEffect[];
    /** What would be so if every patch had an effect. */
    readonly otherwise: Pick<ResourceState, "state" | "reasons">;
  };
}

export function objectStatuses(snapshot: MeshSnapshot, connections: Iterable<ProxyConnection>): ObjectStatus[] {
  const all = [...connections];
  const progress = progressOf(all, snapshot);
  const hasPatches = snapshot.objects("EnvoyFilter").length > 0;
  const effects = hasPatches ? patchEffects(snapshot, all.map(patchedProxy)) : undefined;
  const modules = proxiesByModule(snapshot, all);
  return snapshot.resourceStates().map((state) => {
    const key = objectKey(state.origin);
    const status = withUse(withProgress(state, progress.get(key)), modules.get(key) ?? 0);
    const own = effects?.get(key);
    return own === undefined ? status : withEffects(status, own);
  });
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

/** A module that no filter asks for at any of the proxies that it is for. */
function withUse(status: ObjectStatus, proxies: number): ObjectStatus {
  if (proxies === 0 || status.progress.proxies > 0 || status.state !== ForceState.InForce) return status;
  const reason = `no listener of the ${proxies === 1 ? "one proxy" : `${proxies} proxies`} that it is for has the mode and port of its match`;
  return { ...status, state: ForceState.MatchesNothing, reasons: [...status.reasons, reason] };
}

/** While the last push to it failed, or nothing was pushed yet, nobody knows. */
function patchedProxy({ node, session }: ProxyConnection): PatchedProxy {
  const { patches } = session.resources;
  return { node, applied: patches && patches.clusters.union(patches.routing) };
}

/** An EnvoyFilter's status by what its patches change. */
export function withEffects(status: Omit<ObjectStatus, "patches">, effects: readonly PatchEffect[]): ObjectStatus {
  const { state, reasons } = status;
  const byEffects = stateByEffects(effects);
  return {
    ...status,
    state: byEffects !== undefined && canBeWorse(state) ? byEffects : state,
    reasons: [...reasons, ...reasonsByEffects(effects)],
    patches: { effects, otherwise: { state, reasons } },
  };
}

function canBeWorse(state: ForceState): boolean {
  return state === ForceState.InForce || state === ForceState.Partly;
}

function withProgress(state: ResourceState, progress: Progress = noProgress): ObjectStatus {
  if (progress.rejections.length === 0) return { ...state, progress };
  const byWhat = Map.groupBy(
    progress.rejections,
    ({ type, resource, message }) => `${type} ${resource} and keeps what it had: ${message || "no reason given"}`,
  );
  const reasons = [...byWhat].map(
    ([what, rejections]) => `${rejections.map(({ proxy }) => proxy).join(", ")} rejected ${what}`,
  );
  return {
    ...state,
    state: state.state === ForceState.InForce ? ForceState.Partly : state.state,
    reasons: [...state.reasons, ...reasons],
    progress,
  };
}
