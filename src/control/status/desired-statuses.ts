// All statuses that objects are to carry: those of Istio's kinds by their state, and what further producers compute from
// the snapshot.
import type { DesiredStatus } from "#mesh/objects/desired-status.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { allocatedAddresses } from "./allocated-addresses.ts";
import { istioStatus } from "./istio-status.ts";
import { objectStatuses } from "./object-status.ts";
import type { SeenByReplicas } from "./replica-reports.ts";

type StatusProducer = (snapshot: MeshSnapshot) => Iterable<DesiredStatus>;

/** One line each. */
const producers: readonly StatusProducer[] = [(snapshot) => snapshot.gatewayApiStatuses(), allocatedAddresses];

export function* desiredStatuses(snapshot: MeshSnapshot, seen: SeenByReplicas): Generator<DesiredStatus> {
  for (const object of objectStatuses(snapshot, seen.observations)) {
    if (object.apiVersion.includes(".istio.io/")) yield istioStatus(object, seen.silent);
  }
  for (const produce of producers) yield* produce(snapshot);
}
