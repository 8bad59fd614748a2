// A patched resource says which EnvoyFilters changed it, beside the resources that it was made from.
import type { Origin } from "#base/issue.ts";
import type { Metadata } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import { decodeProvenance, encodeProvenance, provenanceKey } from "#wire/xds/provenance.ts";
import { resourceMetadata } from "../metadata.ts";

export function addOrigin(resource: { metadata?: Metadata | undefined }, origin: Origin): void {
  resource.metadata ??= resourceMetadata({ origins: [] });
  const { origins, policies } = decodeProvenance(resource.metadata.filterMetadata);
  if (origins.some(({ kind, namespace, name }) => isSame({ kind, namespace, name }, origin))) return;
  resource.metadata.filterMetadata[provenanceKey] = encodeProvenance({
    origins: [...origins, origin],
    policies,
  });
}

function isSame(a: Origin, b: Origin): boolean {
  return a.kind === b.kind && a.namespace === b.namespace && a.name === b.name;
}
