// Which resources are served: the catalog, what this server adds to it, and what CustomResourceDefinitions add.

import { type CatalogEntry, catalog } from "#mesh/catalog.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { asArray, asRecord, fieldAt } from "../store/json.ts";
import { customResourceDefinitions, formatResource } from "../store/resources.ts";
import type { ObjectStore, ResourceKey } from "../store/store.ts";

/** `storage`: kept in the store. `review`: answered at once, only `create`. */
export interface ServedResource {
  readonly entry: CatalogEntry;
  readonly type: "storage" | "review";
}

const reviews = new Set([
  "tokenreviews.authentication.k8s.io",
  "selfsubjectreviews.authentication.k8s.io",
  "subjectaccessreviews.authorization.k8s.io",
  "selfsubjectaccessreviews.authorization.k8s.io",
  "localsubjectaccessreviews.authorization.k8s.io",
  "selfsubjectrulesreviews.authorization.k8s.io",
]);

const own = (
  group: string,
  kind: string,
  plural: string,
  namespaced = false,
  shortNames: string[] = [],
): CatalogEntry => ({
  group,
  kind,
  plural,
  singular: kind.toLowerCase(),
  versions: ["v1"],
  shortNames,
  namespaced,
  mesh: false,
});

const additional: readonly CatalogEntry[] = [
  own("apiextensions.k8s.io", "CustomResourceDefinition", "customresourcedefinitions", false, ["crd", "crds"]),
  own("authentication.k8s.io", "SelfSubjectReview", "selfsubjectreviews"),
  own("authorization.k8s.io", "SubjectAccessReview", "subjectaccessreviews"),
  own("authorization.k8s.io", "SelfSubjectAccessReview", "selfsubjectaccessreviews"),
  own("authorization.k8s.io", "LocalSubjectAccessReview", "localsubjectaccessreviews", true),
  own("authorization.k8s.io", "SelfSubjectRulesReview", "selfsubjectrulesreviews"),
];

const builtIn: ReadonlyMap<string, ServedResource> = new Map(
  [...catalog, ...additional].map((entry) => {
    const key = formatResource(entry);
    return [key, { entry, type: reviews.has(key) ? "review" : "storage" }];
  }),
);

export class ResourceRegistry {
  readonly #store: ObjectStore;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  find(resource: ResourceKey): ServedResource | undefined {
    const known = builtIn.get(formatResource(resource));
    if (known !== undefined) return known;
    const definition = this.#store.get(customResourceDefinitions, "", `${resource.plural}.${resource.group}`);
    return definition === undefined ? undefined : { entry: entryOf(definition), type: "storage" };
  }

  all(): readonly ServedResource[] {
    const custom = this.#store
      .list(customResourceDefinitions)
      .items.map(entryOf)
      .filter((entry) => !builtIn.has(formatResource(entry)));
    return [...builtIn.values(), ...custom.map((entry): ServedResource => ({ entry, type: "storage" }))];
  }
}

/** The built-in entry of a resource that the cluster's own parts use. */
export function builtInEntry(resource: ResourceKey): CatalogEntry {
  const served = builtIn.get(formatResource(resource));
  if (served === undefined) throw new TypeError(`${formatResource(resource)} is not built in`);
  return served.entry;
}

function entryOf(definition: KubernetesObject): CatalogEntry {
  const spec = asRecord(definition["spec"]);
  const names = asRecord(spec["names"]);
  const versions = asArray(spec["versions"]).map(asRecord);
  const served = versions.filter((version) => version["served"] !== false);
  const storageFirst = [...served].sort((a, b) => Number(b["storage"] === true) - Number(a["storage"] === true));
  return {
    kind: String(names["kind"]),
    group: String(spec["group"]),
    versions: storageFirst.map((version) => String(version["name"])),
    plural: String(names["plural"]),
    singular: String(names["singular"] ?? String(names["kind"]).toLowerCase()),
    shortNames: asArray(names["shortNames"]).map(String),
    namespaced: fieldAt(spec, "scope") !== "Cluster",
    mesh: false,
  };
}
