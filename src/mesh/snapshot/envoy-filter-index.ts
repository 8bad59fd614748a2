// Which EnvoyFilters change the configuration of a proxy, and in which order their patches apply: the root namespace
// first, then the proxy's own; each by priority, age and name (reference 1.7).
import { RE2JS } from "re2js";
import type { ConfigPatch, EnvoyFilterSpec } from "../kinds/envoy-filter/spec.ts";
import { selects } from "../objects/fields/selector.ts";
import { byAge, type MeshObject } from "../objects/mesh-object.ts";
import type { ObjectTable } from "./object-table.ts";
import type { ProxyNode } from "./proxy-node.ts";

/** Kubernetes puts this label on the pods of a Gateway of the Gateway API. */
const gatewayNameLabel = "gateway.networking.k8s.io/gateway-name";

export interface SelectedPatch {
  readonly filter: MeshObject<EnvoyFilterSpec>;
  /** Place in `configPatches`. */
  readonly index: number;
  readonly patch: ConfigPatch;
}

/** The same list for the same patches, so that work can be kept by it. Empty without any. */
export type EnvoyFilterIndex = (proxy: ProxyNode) => readonly SelectedPatch[];

const none: readonly SelectedPatch[] = [];

export function indexEnvoyFilters(objects: ObjectTable, rootNamespace: string): EnvoyFilterIndex {
  if (objects.all("EnvoyFilter").length === 0) return () => none;
  const lists = new Map<string, readonly SelectedPatch[]>();
  const inOrder = new Map<string, readonly MeshObject<EnvoyFilterSpec>[]>();
  const filtersIn = (namespace: string): readonly MeshObject<EnvoyFilterSpec>[] => {
    let filters = inOrder.get(namespace);
    if (filters === undefined) {
      filters = [...objects.inNamespace("EnvoyFilter", namespace)].sort(byPriority);
      inOrder.set(namespace, filters);
    }
    return filters;
  };
  return (proxy) => {
    const candidates = [
      ...filtersIn(rootNamespace),
      ...(proxy.namespace === rootNamespace ? [] : filtersIn(proxy.namespace)),
    ];
    const selected = candidates
      .filter((filter) => isFor(filter, proxy))
      .flatMap((filter) => filter.spec.configPatches.map((patch, index) => ({ filter, index, patch })))
      .filter(({ patch }) => matchesProxy(patch, proxy));
    const key = selected.map(({ filter, index }) => `${filter.namespace}/${filter.name}/${index}`).join(" ");
    const known = lists.get(key);
    if (known !== undefined) return known;
    lists.set(key, selected);
    return selected;
  };
}

function byPriority(a: MeshObject<EnvoyFilterSpec>, b: MeshObject<EnvoyFilterSpec>): number {
  return a.spec.priority - b.spec.priority || byAge(a, b);
}

function isFor({ spec, namespace }: MeshObject<EnvoyFilterSpec>, proxy: ProxyNode): boolean {
  if (spec.targetRefs.length === 0) return selects(spec.workloadSelector?.labels ?? {}, proxy.labels);
  if (namespace !== proxy.namespace) return false;
  return spec.targetRefs.some(({ kind, name }) => kind === "Gateway" && proxy.labels[gatewayNameLabel] === name);
}

/** A version that the proxy does not tell matches no regex; metadata must be there as the same text. */
function matchesProxy({ match }: ConfigPatch, proxy: ProxyNode): boolean {
  if (match?.proxy === undefined) return true;
  const { proxyVersion, metadata } = match.proxy;
  if (proxyVersion !== "" && !RE2JS.compile(proxyVersion).matcher(proxy.istioVersion).find()) return false;
  return Object.entries(metadata).every(([key, value]) => proxy.metadata[key] === value);
}
