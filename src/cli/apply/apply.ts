// Brings the cluster's objects to what the files say: creates and replaces what changed, in an order in which nothing
// waits for what comes later, and removes what an earlier run applied and the files no longer hold.

import { describeError } from "#base/error.ts";
import type { KubernetesClient } from "#control/sources/kubernetes/client.ts";
import { type CatalogEntry, catalog, findKind } from "#mesh/catalog.ts";
import { type KubernetesObject, sourceAnnotation } from "#mesh/objects/kubernetes-object.ts";
import { decodeSourceAnnotation, encodeSourceAnnotation } from "#mesh/objects/source-annotation.ts";
import type { ParsedObject } from "#mesh/objects/yaml.ts";
import { withNamespace } from "./default-namespace.ts";

/** Who wrote the object; only objects with this annotation are ever removed again. */
const ownerAnnotation = "outrigger.dev/applied-by";
const fieldManager = "outrigger-up";

interface ApplyFailure {
  readonly object: KubernetesObject;
  readonly reason: string;
}

/** What the files say. */
export interface DesiredState {
  readonly desired: readonly KubernetesObject[];
  /** Objects whose new version is not to be applied: the version that is there stays. */
  readonly refused?: readonly KubernetesObject[];
  /** Files of which a document cannot be read: nothing that was written there before is removed. */
  readonly brokenFiles?: ReadonlySet<string>;
}

export interface ApplyResult {
  readonly applied: readonly KubernetesObject[];
  readonly removed: readonly KubernetesObject[];
  readonly failures: readonly ApplyFailure[];
}

const firstKinds = [
  "Namespace",
  "ServiceAccount",
  "ConfigMap",
  "Secret",
  "ClusterRole",
  "Role",
  "ClusterRoleBinding",
  "RoleBinding",
  "Service",
];
/** What makes pods. */
export const workloadKinds: readonly string[] = ["Deployment", "StatefulSet", "DaemonSet", "Job", "ReplicaSet", "Pod"];

/** What it needs of a client. */
type ApplyClient = Pick<KubernetesClient, "apply" | "list" | "delete">;

/** Remembers what was applied, so that an unchanged object costs no request. */
export class Applier {
  readonly #client: ApplyClient;
  readonly #owner: string;
  readonly #contentByKey = new Map<string, { content: string; object: KubernetesObject }>();

  constructor(client: ApplyClient, owner: string) {
    this.#client = client;
    this.#owner = owner;
  }

  /** Applies what is new or changed and removes what the files no longer hold. One failure does not keep the others back. */
  async apply(state: DesiredState): Promise<ApplyResult> {
    const applied: KubernetesObject[] = [];
    const failures: ApplyFailure[] = [];
    for (const object of [...state.desired].sort((a, b) => rank(a) - rank(b))) {
      const content = JSON.stringify(object);
      if (this.#contentByKey.get(keyOf(object))?.content === content) continue;
      try {
        await this.#client.apply(this.#owned(object), { fieldManager });
        this.#contentByKey.set(keyOf(object), { content, object });
        applied.push(object);
      } catch (error) {
        failures.push({ object, reason: describeError(error) });
      }
    }
    const isWanted = wantedBy(state);
    const removed: KubernetesObject[] = [];
    for (const [key, { object }] of [...this.#contentByKey].reverse()) {
      if (isWanted(object)) continue;
      await this.#remove(object);
      this.#contentByKey.delete(key);
      removed.push(object);
    }
    return { applied, removed, failures };
  }

  /** Removes what an earlier process of this owner left in the store and that is no longer wanted. */
  async removeLeftovers(state: DesiredState): Promise<void> {
    const isWanted = wantedBy(state);
    const lists = await Promise.all(catalog.filter(isApplied).map((kind) => this.#client.list(kind)));
    for (const object of lists.flatMap((list) => list.items)) {
      // What controllers make carries the annotations of its owner and goes with it.
      const isOurs =
        object.metadata.annotations?.[ownerAnnotation] === this.#owner && object.metadata.ownerReferences === undefined;
      if (isOurs && !isWanted(object)) await this.#remove(object);
    }
  }

  #owned(object: KubernetesObject): KubernetesObject {
    const annotations = { ...object.metadata.annotations, [ownerAnnotation]: this.#owner };
    return { ...object, metadata: { ...object.metadata, annotations } };
  }

  async #remove(object: KubernetesObject): Promise<void> {
    const kind = findKind(object.apiVersion, object.kind);
    // The default namespace is the cluster's own; a file only labels it.
    if (kind === undefined || object.kind === "Namespace") return;
    await this.#client.delete(kind, object.metadata);
  }
}

function wantedBy({
  desired,
  refused = [],
  brokenFiles = new Set(),
}: DesiredState): (object: KubernetesObject) => boolean {
  const keys = new Set([...desired, ...refused].map(keyOf));
  return (object) => {
    if (keys.has(keyOf(object))) return true;
    const source = decodeSourceAnnotation(object.metadata.annotations?.[sourceAnnotation]);
    return source !== undefined && brokenFiles.has(source.file);
  };
}

/** The object as the API gets it: with a namespace, and with the place it was written. */
export function toApiObject(parsed: ParsedObject): KubernetesObject {
  const object = withNamespace(parsed.object);
  const kind = findKind(object.apiVersion, object.kind);
  const annotations = {
    ...object.metadata.annotations,
    [sourceAnnotation]: encodeSourceAnnotation(parsed, kind?.mesh ?? false),
  };
  return { ...object, metadata: { ...object.metadata, annotations } };
}

/** Kinds that a user's files can hold; the others are made by the cluster itself. */
function isApplied(kind: CatalogEntry): boolean {
  return !["Node", "Event", "Lease", "Endpoints", "EndpointSlice", "TokenReview"].includes(kind.kind);
}

function rank(object: KubernetesObject): number {
  const first = firstKinds.indexOf(object.kind);
  if (first !== -1) return first;
  const last = workloadKinds.indexOf(object.kind);
  return firstKinds.length + (last === -1 ? 0 : last + 1);
}

function keyOf(object: KubernetesObject): string {
  const group = object.apiVersion.includes("/") ? object.apiVersion.slice(0, object.apiVersion.indexOf("/")) : "";
  const namespace =
    findKind(object.apiVersion, object.kind)?.namespaced === false ? "" : (object.metadata.namespace ?? "default");
  return `${group}/${object.kind}/${namespace}/${object.metadata.name}`;
}
