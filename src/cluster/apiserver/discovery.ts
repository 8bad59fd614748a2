// What the API serves: groups, versions and resources, as kubectl and client libraries ask for them.

import { asArray, isRecord, type JsonRecord } from "../store/json.ts";
import { clusterIssuer, type TokenAuthority } from "../tokens/token-authority.ts";
import type { ResourceRegistry, ServedResource } from "./registry.ts";
import { decodeSegments } from "./request-path.ts";

const verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const aggregated = "apidiscovery.k8s.io";

/** Subresources by resource; status is added for those that have one. */
const subresources: Readonly<Record<string, readonly [name: string, kind: string, verbs: readonly string[]][]>> = {
  pods: [
    ["log", "Pod", ["get"]],
    ["portforward", "PodPortForwardOptions", ["create", "get"]],
    ["exec", "PodExecOptions", ["create", "get"]],
    ["eviction", "Eviction", ["create"]],
  ],
  serviceaccounts: [["token", "TokenRequest", ["create"]]],
  certificatesigningrequests: [["approval", "CertificateSigningRequest", ["get", "patch", "update"]]],
  deployments: [["scale", "Scale", ["get", "patch", "update"]]],
  replicasets: [["scale", "Scale", ["get", "patch", "update"]]],
  statefulsets: [["scale", "Scale", ["get", "patch", "update"]]],
};

const withoutStatus = new Set([
  "configmaps",
  "secrets",
  "serviceaccounts",
  "endpoints",
  "events",
  "endpointslices",
  "leases",
  "roles",
  "rolebindings",
  "clusterroles",
  "clusterrolebindings",
  "mutatingwebhookconfigurations",
  "validatingwebhookconfigurations",
  "clustertrustbundles",
]);

export function hasStatus(plural: string): boolean {
  return !withoutStatus.has(plural);
}

/** The document at a discovery path; undefined when there is none. `accept` chooses the aggregated form. */
export function discoveryDocument(registry: ResourceRegistry, pathname: string, accept: string): unknown {
  const segments = decodeSegments(pathname) ?? [];
  const served = registry.all();
  const isAggregated = accept.includes(aggregated) && accept.includes("as=APIGroupDiscoveryList");
  const [root, group, version] = segments;
  if (root === "api") {
    if (segments.length === 1)
      return isAggregated ? aggregatedList(served, true) : { kind: "APIVersions", versions: ["v1"] };
    return segments.length === 2 && group === "v1" ? resourceList(served, "", "v1") : undefined;
  }
  if (root !== "apis" || segments.length > 3) return undefined;
  const groups = groupNames(served);
  if (group === undefined) {
    if (isAggregated) return aggregatedList(served, false);
    return { kind: "APIGroupList", apiVersion: "v1", groups: groups.map((name) => apiGroup(served, name)) };
  }
  if (!groups.includes(group)) return undefined;
  if (version === undefined) return { kind: "APIGroup", apiVersion: "v1", ...apiGroup(served, group) };
  return versionsOf(served, group).includes(version) ? resourceList(served, group, version) : undefined;
}

export function discoveryContentType(document: unknown): string {
  const isAggregatedList = isRecord(document) && document["kind"] === "APIGroupDiscoveryList";
  return isAggregatedList ? `application/json;g=${aggregated};v=v2;as=APIGroupDiscoveryList` : "application/json";
}

/** Documents that everybody may read. */
export function publicDocument(pathname: string, tokens: TokenAuthority): unknown {
  switch (pathname) {
    case "/version":
      return {
        major: "1",
        minor: "34",
        gitVersion: "v1.34.0+outrigger",
        gitCommit: "",
        gitTreeState: "clean",
        buildDate: "1970-01-01T00:00:00Z",
        goVersion: "",
        compiler: "",
        platform: `linux/${process.arch === "x64" ? "amd64" : process.arch}`,
      };
    case "/openid/v1/jwks":
      return tokens.jwks();
    case "/.well-known/openid-configuration":
      return {
        issuer: clusterIssuer,
        jwks_uri: `${clusterIssuer}/openid/v1/jwks`,
        response_types_supported: ["id_token"],
        subject_types_supported: ["public"],
        id_token_signing_alg_values_supported: ["ES256"],
      };
    default:
      return undefined;
  }
}

function groupNames(served: readonly ServedResource[]): readonly string[] {
  return [...new Set(served.map(({ entry }) => entry.group))].filter((group) => group !== "");
}

/** The versions of a group, the preferred first: the order in which its kinds name them. */
function versionsOf(served: readonly ServedResource[], group: string): readonly string[] {
  const versions = new Set(served.filter(({ entry }) => entry.group === group).flatMap(({ entry }) => entry.versions));
  return [...versions].sort((a, b) => rank(a) - rank(b));
}

/** v1 before v1beta1 before v1alpha3. */
function rank(version: string): number {
  const match = /^v(\d+)(alpha|beta)?(\d+)?$/.exec(version);
  if (match === null) return 1e9;
  const stage = match[2] === undefined ? 0 : match[2] === "beta" ? 1 : 2;
  return stage * 1e6 - Number(match[1]) * 1e3 - Number(match[3] ?? 0);
}

function apiGroup(served: readonly ServedResource[], name: string): JsonRecord {
  const versions = versionsOf(served, name).map((version) => ({ groupVersion: `${name}/${version}`, version }));
  return { name, versions, preferredVersion: versions[0] };
}

function resourceList(served: readonly ServedResource[], group: string, version: string): JsonRecord {
  const groupVersion = group === "" ? version : `${group}/${version}`;
  const resources = resourcesOf(served, group, version).flatMap((resource) => describe(resource));
  return { kind: "APIResourceList", apiVersion: "v1", groupVersion, resources };
}

function resourcesOf(served: readonly ServedResource[], group: string, version: string): readonly ServedResource[] {
  return served.filter(({ entry }) => entry.group === group && entry.versions.includes(version));
}

function describe({ entry, type }: ServedResource): JsonRecord[] {
  const resource: JsonRecord = {
    name: entry.plural,
    singularName: entry.singular,
    namespaced: entry.namespaced,
    kind: entry.kind,
    verbs: type === "review" ? ["create"] : verbs,
    ...(entry.shortNames.length === 0 ? {} : { shortNames: entry.shortNames }),
    ...(entry.plural === "pods" ||
    entry.plural === "services" ||
    entry.plural === "deployments" ||
    entry.plural === "replicasets"
      ? { categories: ["all"] }
      : {}),
  };
  if (type === "review") return [resource];
  return [
    resource,
    ...subresourcesOf(entry.plural, entry.kind).map(([name, kind, subVerbs]) => ({
      name: `${entry.plural}/${name}`,
      singularName: "",
      namespaced: entry.namespaced,
      kind,
      verbs: subVerbs,
    })),
  ];
}

function subresourcesOf(plural: string, kind: string): readonly (readonly [string, string, readonly string[]])[] {
  const own = subresources[plural] ?? [];
  return hasStatus(plural) ? [...own, ["status", kind, ["get", "patch", "update"]]] : own;
}

function aggregatedList(served: readonly ServedResource[], isCore: boolean): JsonRecord {
  const groups = isCore ? [""] : groupNames(served);
  return {
    kind: "APIGroupDiscoveryList",
    apiVersion: `${aggregated}/v2`,
    metadata: {},
    items: groups.map((group) => ({
      metadata: group === "" ? {} : { name: group },
      versions: versionsOf(served, group).map((version) => ({
        version,
        freshness: "Current",
        resources: resourcesOf(served, group, version).map((resource) => describeAggregated(resource, version)),
      })),
    })),
  };
}

function describeAggregated(resource: ServedResource, version: string): JsonRecord {
  const [main, ...subs] = describe(resource);
  const { entry } = resource;
  const responseKind = { group: entry.group, version, kind: entry.kind };
  return {
    resource: entry.plural,
    responseKind,
    scope: entry.namespaced ? "Namespaced" : "Cluster",
    singularResource: entry.singular,
    verbs: main?.["verbs"],
    ...(entry.shortNames.length === 0 ? {} : { shortNames: entry.shortNames }),
    ...(main?.["categories"] === undefined ? {} : { categories: main["categories"] }),
    subresources: subs.map((sub) => ({
      subresource: String(sub["name"]).slice(entry.plural.length + 1),
      responseKind: { ...responseKind, kind: sub["kind"] },
      verbs: asArray(sub["verbs"]),
    })),
  };
}
