// All statuses that objects are to carry: those of Istio's kinds by their state, and what further producers compute from
// the snapshot.
import type { DesiredStatus } from "#mesh/objects/desired-status.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import type { ProxyConnection } from "../xds/connection.ts";
import { allocatedAddresses } from "./allocated-addresses.ts";
import { istioStatus } from "./istio-status.ts";
import { objectStatuses } from "./object-status.ts";

type StatusProducer = (snapshot: MeshSnapshot) => Iterable<DesiredStatus>;

/** One line each. */
const producers: readonly StatusProducer[] = [(snapshot) => snapshot.gatewayApiStatuses(), allocatedAddresses];

export function* desiredStatuses(
  snapshot: MeshSnapshot,
  connections: Iterable<ProxyConnection>,
): Generator<DesiredStatus> {
  for (const object of objectStatuses(snapshot, connections)) {
    if (object.apiVersion.includes(".istio.io/")) yield istioStatus(object);
  }
  for (const produce of producers) yield* produce(snapshot);
}
