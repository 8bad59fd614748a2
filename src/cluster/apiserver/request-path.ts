// Takes the paths of the Kubernetes API apart.

import type { ResourceKey } from "../store/store.ts";

export interface ResourcePath {
  readonly resource: ResourceKey;
  readonly version: string;
  /** "" for cluster-scoped objects and for all namespaces. */
  readonly namespace: string;
  /** "" for a collection. */
  readonly name: string;
  /** "" for the object itself. */
  readonly subresource: string;
}

/** The resource that a path names; undefined when it names none (discovery, health, or nothing). */
export function parseResourcePath(pathname: string): ResourcePath | undefined {
  const segments = decodeSegments(pathname);
  if (segments === undefined) return undefined;
  if (segments[0] === "api" && segments[1] !== undefined) return parseRest("", segments[1], segments.slice(2));
  if (segments[0] === "apis" && segments[1] !== undefined && segments[2] !== undefined) {
    return parseRest(segments[1], segments[2], segments.slice(3));
  }
  return undefined;
}

/** Non-empty, percent-decoded segments; undefined when one is not valid. */
export function decodeSegments(pathname: string): readonly string[] | undefined {
  try {
    return pathname
      .split("/")
      .filter((segment) => segment !== "")
      .map(decodeURIComponent);
  } catch {
    return undefined; // a malformed escape
  }
}

/** Subresources of a namespace itself, which look like resources within one. */
const namespaceSubresources = new Set(["status", "finalize"]);

function parseRest(group: string, version: string, rest: readonly string[]): ResourcePath | undefined {
  const [first, namespace, plural, name = "", ...subresource] = rest;
  if (first === undefined) return undefined;
  const isInNamespace = first === "namespaces" && namespace !== undefined && plural !== undefined;
  if (isInNamespace && !(group === "" && namespaceSubresources.has(plural))) {
    return { resource: { group, plural }, version, namespace, name, subresource: subresource.join("/") };
  }
  const [plain, ownName = "", ...own] = rest;
  return {
    resource: { group, plural: plain ?? "" },
    version,
    namespace: "",
    name: ownName,
    subresource: own.join("/"),
  };
}
