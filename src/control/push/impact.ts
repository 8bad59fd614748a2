// What a batch of changes can reach: everything, or only the endpoints of a few services. The narrow answer is given
// only where it is certain; compiling more than necessary costs time, and less would leave a proxy wrong.
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { Service } from "#mesh/snapshot/service.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import type { SourceChange } from "../sources/config-source.ts";

export type Impact =
  | { readonly kind: "none" }
  | { readonly kind: "everything" }
  | {
      readonly kind: "endpoints";
      /** Hosts whose endpoints changed. */
      readonly hostnames: ReadonlySet<string>;
      /** Addresses that came or went: a proxy at one of them is compiled as a whole. */
      readonly addresses: ReadonlySet<string>;
    };

/** Whether a change alone is one of endpoints, and may be pushed sooner. */
export function isUrgent(change: SourceChange): boolean {
  return change.object.kind === "EndpointSlice" || change.object.kind === "Pod";
}

export function assessImpact(
  previous: MeshSnapshot | undefined,
  next: MeshSnapshot,
  changes: readonly SourceChange[],
): Impact {
  if (previous === undefined) return { kind: "everything" };
  if (previous.version === next.version) return { kind: "none" };
  // No change of an object at all means that the mesh's own settings changed.
  const onlySlices = next.changes.length > 0 && next.changes.every((change) => change.kind === "EndpointSlice");
  if (!onlySlices) return { kind: "everything" };
  const slices = changes.filter((change) => change.object.kind === "EndpointSlice");
  const hostnames = new Set<string>();
  const addresses = new Set<string>();
  for (const { object, previous: before } of slices) {
    const name = object.metadata.labels?.["kubernetes.io/service-name"];
    if (name === undefined) return { kind: "everything" };
    hostnames.add(`${name}.${object.metadata.namespace ?? "default"}.svc.${next.domain}`);
    for (const version of [object, before]) for (const address of sliceAddresses(version)) addresses.add(address);
  }
  for (const hostname of hostnames) {
    if (!isSameBesidesEndpoints(previous, next, hostname)) return { kind: "everything" };
  }
  return { kind: "endpoints", hostnames, addresses };
}

/** Clusters carry the identities of a service and whether it takes mutual TLS; both follow from its endpoints. */
function isSameBesidesEndpoints(previous: MeshSnapshot, next: MeshSnapshot, hostname: string): boolean {
  const before = find(previous, hostname);
  const after = find(next, hostname);
  if (before === undefined || after === undefined) return before === after;
  // Listeners of a headless service name its endpoints.
  if (after.headless || before.headless) return false;
  if (previous.serviceAccountsOf(before).join() !== next.serviceAccountsOf(after).join()) return false;
  return after.ports.every(
    (port) => previous.serviceMtlsMode(before, port.number) === next.serviceMtlsMode(after, port.number),
  );
}

function find(snapshot: MeshSnapshot, hostname: string): Service | undefined {
  return snapshot.services.find((service) => service.hostname === hostname);
}

function sliceAddresses(slice: KubernetesObject | undefined): string[] {
  const endpoints = slice?.["endpoints"];
  if (!Array.isArray(endpoints)) return [];
  return (endpoints as { addresses?: unknown }[]).flatMap((endpoint) =>
    Array.isArray(endpoint?.addresses) ? endpoint.addresses.filter((address) => typeof address === "string") : [],
  );
}
