// EnvoyFilter patches on clusters.
import { clone } from "@bufbuild/protobuf";
import { type Cluster, ClusterSchema } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { ApplyTo, Operation } from "../../kinds/envoy-filter/spec.ts";
import { isMerge } from "../../kinds/envoy-filter/validate.ts";
import type { PatchSet, ReadyPatch, ResourceContext } from "./patch-set.ts";
import { addOrigin } from "./provenance.ts";
import { copyOf, mergeTransportSocket, mergeValue } from "./values.ts";

/** `hosts` are the services of an inbound cluster, whose name carries none. */
export interface PatchableCluster {
  readonly cluster: Cluster;
  readonly hosts?: readonly string[];
}

/** The patched clusters and those that patches add. Clusters that no patch concerns are the same objects. */
export function patchClusters(
  patches: PatchSet | undefined,
  context: ResourceContext,
  clusters: readonly PatchableCluster[],
): readonly Cluster[] {
  if (patches === undefined) return clusters.map(({ cluster }) => cluster);
  const here = patches.at(ApplyTo.Cluster, context);
  const patched = clusters.flatMap(({ cluster, hosts }) => {
    const key = `${context} ${hosts?.join(" ") ?? ""}`;
    return patches.patched(cluster, key, (original) => patchCluster(patches, here, original, hosts)) ?? [];
  });
  const names = new Set(patched.map(({ name }) => name));
  const added = patches.added(ApplyTo.Cluster, context).map((patch) => {
    const cluster = copyOf(ClusterSchema, patch);
    // The first of a name counts.
    if (!names.has(cluster.name)) patches.note(patch);
    names.add(cluster.name);
    addOrigin(cluster, patch.origin);
    return cluster;
  });
  return [...patched, ...added];
}

function patchCluster(
  set: PatchSet,
  patches: readonly ReadyPatch[],
  original: Cluster,
  hosts: readonly string[] | undefined,
): Cluster | undefined {
  const own = patches.filter((patch) => patch.operation !== Operation.Add && isCluster(original, hosts, patch));
  if (own.length === 0) return original;
  const cluster = clone(ClusterSchema, original);
  for (const patch of own) {
    if (patch.operation === Operation.Remove) {
      set.note(patch);
      return undefined;
    }
    if (!isMerge(patch.operation)) continue;
    if (!(mergeSocket(cluster, patch) ?? mergeValue(ClusterSchema, cluster, patch))) continue;
    set.note(patch);
    addOrigin(cluster, patch.origin);
  }
  return cluster;
}

/**
 * A patch that says something of the transport socket is only about it (as in istiod): merged into the socket of that
 * name, else put in its place. Where sockets are chosen by endpoint and none has the name, nothing can be done (false).
 * Undefined for a patch that says nothing of it.
 */
function mergeSocket(cluster: Cluster, patch: ReadyPatch): boolean | undefined {
  const { transportSocket } = patch.value as Cluster;
  if (transportSocket === undefined) return undefined;
  const sockets =
    cluster.transportSocketMatches.length > 0
      ? cluster.transportSocketMatches.map((match) => match.transportSocket)
      : [cluster.transportSocket];
  const target = sockets.find((socket) => socket?.name === transportSocket.name);
  if (target !== undefined) return mergeTransportSocket(target, transportSocket, patch);
  if (cluster.transportSocketMatches.length > 0) return false;
  cluster.transportSocket = copyOf(ClusterSchema, patch).transportSocket!;
  return true;
}

function isCluster({ name }: Cluster, hosts: readonly string[] | undefined, { match }: ReadyPatch): boolean {
  const wanted = match?.cluster;
  if (wanted === undefined) return true;
  if (wanted.name !== "") return wanted.name === name;
  const [, port = "", subset = "", host = ""] = name.split("|");
  return (
    (wanted.subset === "" || wanted.subset === subset) &&
    (wanted.service === "" || (hosts ?? [host]).includes(wanted.service)) &&
    (wanted.portNumber === 0 || wanted.portNumber === Number(port))
  );
}
