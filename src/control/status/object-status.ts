// The one state of every object of Istio's kinds: what the configuration says about it, and at how many of the proxies
// that it concerns it is in force.
import { objectKey } from "#mesh/objects/mesh-object.ts";
import { ForceState, type MeshSnapshot, type ResourceState } from "#mesh/snapshot/snapshot.ts";
import type { ProxyConnection } from "../xds/connection.ts";
import { noProgress, type Progress, progressOf } from "./progress.ts";

export interface ObjectStatus extends ResourceState {
  /** At the proxies that are connected to this control plane. */
  readonly progress: Progress;
}

export function objectStatuses(snapshot: MeshSnapshot, connections: Iterable<ProxyConnection>): ObjectStatus[] {
  const progress = progressOf(connections, snapshot);
  return snapshot.resourceStates().map((state) => withProgress(state, progress.get(objectKey(state.origin))));
}

function withProgress(state: ResourceState, progress: Progress = noProgress): ObjectStatus {
  if (progress.rejections.length === 0) return { ...state, progress };
  const reasons = progress.rejections.map(
    ({ proxy, type, resource, message }) =>
      `${proxy} rejected ${type} ${resource} and keeps what it had: ${message || "no reason given"}`,
  );
  return {
    ...state,
    state: state.state === ForceState.InForce ? ForceState.Partly : state.state,
    reasons: [...state.reasons, ...reasons],
    progress,
  };
}
