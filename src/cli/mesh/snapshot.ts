// The mesh's snapshot as the CLI sees it: built from the API's objects, with the mesh's settings, by the same code as in
// the control plane.
import type { Issue } from "#base/issue.ts";
import { createSnapshotBuilder } from "#control/push/build-snapshot.ts";
import type { KubernetesClient } from "#control/sources/kubernetes/client.ts";
import { analyze } from "#mesh/analyze/analyze.ts";
import { catalog } from "#mesh/catalog.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { BuiltSnapshot } from "#mesh/snapshot/build.ts";
import type { SourceObject } from "#mesh/snapshot/read-object.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { applyChange, type ChangeableMesh } from "./changeable-mesh.ts";
import { kind } from "./connection.ts";
import { patchIssues } from "./patched-proxies.ts";
import type { Pod } from "./pods.ts";

const platformKinds = ["Namespace", "Node", "Pod", "Service", "EndpointSlice"];
/** What only advice is given about. Certificates of Secrets are looked at here and go nowhere. */
const analyzedKinds = [
  "ConfigMap",
  "Secret",
  "Deployment",
  "MutatingWebhookConfiguration",
  "ValidatingWebhookConfiguration",
];
const controlPlane = { namespace: "istio-system", revision: "default" };

/** What it needs of a client. */
type SnapshotClient = Pick<KubernetesClient, "list" | "find">;

export async function readMeshSnapshot(client: SnapshotClient): Promise<MeshSnapshot> {
  return (await readMesh(client)).snapshot;
}

/** Also as it would be with other objects. */
export async function readChangeableMesh(client: SnapshotClient): Promise<ChangeableMesh> {
  const objects = await readMeshObjects(client, platformKinds);
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
  const written = (await readWrittenObjects(client)).map((object) => ({ object }));
  const { snapshot, settingsIssues, pods } = buildMesh(written);
  return [...settingsIssues, ...analyze({ snapshot, written, now: Date.now() }), ...patchIssues(snapshot, pods)];
}

/** Everything that is looked at when advice is given. */
export function readWrittenObjects(client: SnapshotClient): Promise<KubernetesObject[]> {
  return readMeshObjects(client, [...platformKinds, ...analyzedKinds]);
}

interface ReadMesh {
  readonly snapshot: BuiltSnapshot;
  readonly settingsIssues: readonly Issue[];
  readonly pods: readonly Pod[];
}

async function readMesh(client: SnapshotClient): Promise<ReadMesh> {
  return buildMesh((await readMeshObjects(client, platformKinds)).map((object) => ({ object })));
}

function buildMesh(sources: readonly SourceObject[]): ReadMesh {
  const builder = createSnapshotBuilder(controlPlane);
  const snapshot = builder.build(sources);
  const pods = sources.flatMap(({ object }) => (object.kind === "Pod" ? [object] : [])) as readonly KubernetesObject[];
  return { snapshot, settingsIssues: builder.issues(), pods: pods as readonly Pod[] };
}

async function readMeshObjects(client: SnapshotClient, others: readonly string[]): Promise<KubernetesObject[]> {
  const kinds = catalog.filter((entry) => entry.mesh || others.includes(entry.kind));
  const [settings, ...lists] = await Promise.all([
    client.find(kind("v1", "ConfigMap"), { namespace: controlPlane.namespace, name: "istio" }),
    ...kinds.map((entry) => client.list(entry)),
  ]);
  const listed = lists.flatMap((list) => list.items);
  const isListed = listed.some(({ kind: name }) => name === "ConfigMap");
  return [...(settings === undefined || isListed ? [] : [settings]), ...listed];
}
