// The one state of every object of Istio's kinds: what the configuration says about it, and at how many of the proxies
// that it concerns it is in force. Replicas that read the same configuration join what each saw at its proxies.
import { type PatchEffect, reasonsByEffects, stateByEffects } from "#mesh/compile/patches/effects.ts";
import { objectKey } from "#mesh/objects/mesh-object.ts";
import { ForceState, type MeshSnapshot, type ResourceState } from "#mesh/snapshot/snapshot.ts";
import { joinObservations, nothingSeen, type Observation, type Observations } from "./observation.ts";
import type { Progress } from "./progress.ts";

export interface ObjectStatus extends ResourceState {
  /** At the proxies that are connected to the control planes that were asked. */
  readonly progress: Progress;
  /** Of a Wasm module: proxies with listeners that it is for. */
  readonly moduleProxies: number;
  /** Of an EnvoyFilter that is for any of them. */
  readonly patches?: { readonly effects: readonly PatchEffect[] };
  /** What the configuration alone says. */
  readonly configured: Pick<ResourceState, "state" | "reasons">;
}

export function objectStatuses(snapshot: MeshSnapshot, seen: Observations): ObjectStatus[] {
  return snapshot.resourceStates().map((state) => statusOf(state, seen.get(objectKey(state.origin)) ?? nothingSeen));
}

/** The status of an object that two control planes tell of, over the proxies of both. */
export function joinObjectStatus(one: ObjectStatus, other: ObjectStatus): ObjectStatus {
  return statusOf({ ...one, ...one.configured }, joinObservations(observationOf(one), observationOf(other)));
}

function observationOf({ progress, moduleProxies, patches }: ObjectStatus): Observation {
  return { progress, moduleProxies, ...(patches !== undefined && { effects: patches.effects }) };
}

function statusOf(configured: ResourceState, seen: Observation): ObjectStatus {
  const { progress, moduleProxies, effects } = seen;
  const { state, reasons } = configured;
  const status: ObjectStatus = { ...configured, progress, moduleProxies, configured: { state, reasons } };
  const used = withUse(withRejections(status));
  return effects === undefined ? used : withEffects(used, effects);
}

/** A module that no filter asks for at any of the proxies that it is for. */
function withUse(status: ObjectStatus): ObjectStatus {
  const { moduleProxies: proxies, progress, state, reasons } = status;
  if (proxies === 0 || progress.proxies > 0 || state !== ForceState.InForce) return status;
  const reason = `no listener of the ${proxies === 1 ? "one proxy" : `${proxies} proxies`} that it is for has the mode and port of its match`;
  return { ...status, state: ForceState.MatchesNothing, reasons: [...reasons, reason] };
}

/** An EnvoyFilter's status by what its patches change. */
function withEffects(status: ObjectStatus, effects: readonly PatchEffect[]): ObjectStatus {
  const { state, reasons } = status;
  const byEffects = stateByEffects(effects);
  return {
    ...status,
    state: byEffects !== undefined && canBeWorse(state) ? byEffects : state,
    reasons: [...reasons, ...reasonsByEffects(effects)],
    patches: { effects },
  };
}

function canBeWorse(state: ForceState): boolean {
  return state === ForceState.InForce || state === ForceState.Partly;
}

function withRejections(status: ObjectStatus): ObjectStatus {
  const { rejections } = status.progress;
  if (rejections.length === 0) return status;
  const byWhat = Map.groupBy(
    rejections,
    ({ type, resource, message }) => `${type} ${resource} and keeps what it had: ${message || "no reason given"}`,
  );
  const reasons = [...byWhat].map(([what, some]) => `${some.map(({ proxy }) => proxy).join(", ")} rejected ${what}`);
  return {
    ...status,
    state: status.state === ForceState.InForce ? ForceState.Partly : status.state,
    reasons: [...status.reasons, ...reasons],
  };
}
