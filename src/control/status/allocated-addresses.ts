// `status.addresses` of ServiceEntries: the addresses that were allocated to their hosts, so that they stay.
import type { DesiredStatus } from "#mesh/objects/desired-status.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";

export function* allocatedAddresses(snapshot: MeshSnapshot): Generator<DesiredStatus> {
  const allocated = snapshot.services.filter(({ autoAllocatedAddresses }) => autoAllocatedAddresses.length > 0);
  const byEntry = Map.groupBy(allocated, ({ origin }) => `${origin.namespace}/${origin.name}`);
  for (const { apiVersion, namespace, name, kind } of snapshot.objects("ServiceEntry")) {
    const services = byEntry.get(`${namespace}/${name}`);
    if (services === undefined) continue;
    const addresses = services.flatMap(({ hostname, autoAllocatedAddresses }) =>
      autoAllocatedAddresses.map((value) => ({ value, host: hostname })),
    );
    yield { apiVersion, kind, namespace, name, status: { addresses } };
  }
}
