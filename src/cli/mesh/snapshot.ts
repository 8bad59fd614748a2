// The mesh's snapshot as the CLI sees it: built from the API's objects, with the mesh's settings, by the same code as in
// the control plane.
import type { Issue } from "#base/issue.ts";
import { createSnapshotBuilder } from "#control/push/build-snapshot.ts";
import type { KubernetesClient } from "#control/sources/kubernetes/client.ts";
import { analyze } from "#mesh/analyze/analyze.ts";
import { catalog } from "#mesh/catalog.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { BuiltSnapshot } from "#mesh/snapshot/build.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { applyChange, type ChangeableMesh } from "./changeable-mesh.ts";
import { kind } from "./connection.ts";
import { patchIssues } from "./patched-proxies.ts";
import type { Pod } from "./pods.ts";

const platformKinds = ["Namespace", "Node", "Pod", "Service", "EndpointSlice"];
const controlPlane = { namespace: "istio-system", revision: "default" };

/** What it needs of a client. */
type SnapshotClient = Pick<KubernetesClient, "list" | "find">;

export async function readMeshSnapshot(client: SnapshotClient): Promise<MeshSnapshot> {
  return (await readMesh(client)).snapshot;
}

/** Also as it would be with other objects. */
export async function readChangeableMesh(client: SnapshotClient): Promise<ChangeableMesh> {
  const objects = await readMeshObjects(client);
  const built = (all: readonly KubernetesObject[]): MeshSnapshot =>
    createSnapshotBuilder(controlPlane).build(all.map((object) => ({ object })));
  return { snapshot: built(objects), changed: (change) => built(applyChange(objects, change)) };
}

export async function readMeshIssues(client: SnapshotClient): Promise<readonly Issue[]> {
  const { snapshot, settingsIssues } = await readMesh(client);
  return [...settingsIssues, ...snapshot.issues];
}

/** Also what is in order and most likely not meant. */
export async function analyzeMesh(client: SnapshotClient): Promise<readonly Issue[]> {
  const { snapshot, settingsIssues, pods } = await readMesh(client);
  return [...settingsIssues, ...analyze(snapshot), ...patchIssues(snapshot, pods)];
}

interface ReadMesh {
  readonly snapshot: BuiltSnapshot;
  readonly settingsIssues: readonly Issue[];
  readonly pods: readonly Pod[];
}

async function readMesh(client: SnapshotClient): Promise<ReadMesh> {
  const builder = createSnapshotBuilder(controlPlane);
  const objects = await readMeshObjects(client);
  const snapshot = builder.build(objects.map((object) => ({ object })));
  const pods = objects.filter(({ kind: name }) => name === "Pod") as readonly KubernetesObject[] as readonly Pod[];
  return { snapshot, settingsIssues: builder.issues(), pods };
}

async function readMeshObjects(client: SnapshotClient): Promise<KubernetesObject[]> {
  const kinds = catalog.filter((entry) => entry.mesh || platformKinds.includes(entry.kind));
  const [settings, ...lists] = await Promise.all([
    client.find(kind("v1", "ConfigMap"), { namespace: controlPlane.namespace, name: "istio" }),
    ...kinds.map((entry) => client.list(entry)),
  ]);
  return [...(settings === undefined ? [] : [settings]), ...lists.flatMap((list) => list.items)];
}
