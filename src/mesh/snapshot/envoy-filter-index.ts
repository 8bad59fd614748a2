// Which EnvoyFilters change the configuration of a proxy, and in which order their patches apply: the root namespace
// first, then the proxy's own; each by priority, age and name (reference 1.7).
import { RE2JS } from "re2js";
import type { ConfigPatch, EnvoyFilterSpec } from "../kinds/envoy-filter/spec.ts";
import { isTargeted } from "../objects/fields/policy-target.ts";
import { selects } from "../objects/fields/selector.ts";
import { byAge, type MeshObject } from "../objects/mesh-object.ts";
import type { ObjectTable } from "./object-table.ts";
import type { ProxyNode } from "./proxy-node.ts";

export interface SelectedPatch {
  readonly filter: MeshObject<EnvoyFilterSpec>;
  /** Place in `configPatches`. */
  readonly index: number;
  readonly patch: ConfigPatch;
}

export interface EnvoyFilterIndex {
  /** Those that are for the proxy, by selector or target, in order. */
  filters(proxy: ProxyNode): readonly MeshObject<EnvoyFilterSpec>[];
  /** Their patches that are for its version and metadata. The same list for the same patches, so that work can be kept by it. */
  patches(proxy: ProxyNode): readonly SelectedPatch[];
}

export function indexEnvoyFilters(objects: ObjectTable, rootNamespace: string): EnvoyFilterIndex {
  if (objects.all("EnvoyFilter").length === 0) return { filters: () => [], patches: () => none };
  const lists = new Map<string, readonly SelectedPatch[]>();
  const byProxy = new WeakMap<ProxyNode, readonly SelectedPatch[]>();
  const inOrder = new Map<string, readonly MeshObject<EnvoyFilterSpec>[]>();
  const filtersIn = (namespace: string): readonly MeshObject<EnvoyFilterSpec>[] => {
    let filters = inOrder.get(namespace);
    if (filters === undefined) {
      filters = [...objects.inNamespace("EnvoyFilter", namespace)].sort(byPriority);
      inOrder.set(namespace, filters);
    }
    return filters;
  };
  const filters = (proxy: ProxyNode): MeshObject<EnvoyFilterSpec>[] =>
    [...filtersIn(rootNamespace), ...(proxy.namespace === rootNamespace ? [] : filtersIn(proxy.namespace))].filter(
      (filter) => isFor(filter, proxy, rootNamespace),
    );
  const select = (proxy: ProxyNode): readonly SelectedPatch[] => {
    const selected = filters(proxy)
      .flatMap((filter) => filter.spec.configPatches.map((patch, index) => ({ filter, index, patch })))
      .filter(({ patch }) => matchesProxy(patch, proxy));
    const key = selected.map(({ filter, index }) => `${filter.namespace}/${filter.name}/${index}`).join(" ");
    const known = lists.get(key);
    if (known !== undefined) return known;
    lists.set(key, selected);
    return selected;
  };
  const patches = (proxy: ProxyNode): readonly SelectedPatch[] => {
    let selected = byProxy.get(proxy);
    if (selected === undefined) {
      selected = select(proxy);
      byProxy.set(proxy, selected);
    }
    return selected;
  };
  return { filters, patches };
}

const none: readonly SelectedPatch[] = [];

function byPriority(a: MeshObject<EnvoyFilterSpec>, b: MeshObject<EnvoyFilterSpec>): number {
  return a.spec.priority - b.spec.priority || byAge(a, b);
}

function isFor({ spec, namespace }: MeshObject<EnvoyFilterSpec>, proxy: ProxyNode, rootNamespace: string): boolean {
  if (spec.targetRefs.length === 0) return selects(spec.workloadSelector?.labels ?? {}, proxy.labels);
  const workload = { namespace: proxy.namespace, labels: proxy.labels, rootNamespace };
  return spec.targetRefs.some((reference) => isTargeted(reference, namespace, workload));
}

/** A version that the proxy does not tell matches no regex; metadata must be there as the same text. */
function matchesProxy({ match }: ConfigPatch, proxy: ProxyNode): boolean {
  if (match?.proxy === undefined) return true;
  const { proxyVersion, metadata } = match.proxy;
  if (proxyVersion !== "" && !regexOf(proxyVersion).matcher(proxy.istioVersion).find()) return false;
  return Object.entries(metadata).every(([key, value]) => proxy.metadata[key] === value);
}

const regexes = new Map<string, RE2JS>();
const maxRegexes = 1000;

function regexOf(text: string): RE2JS {
  let regex = regexes.get(text);
  if (regex === undefined) {
    regex = RE2JS.compile(text);
    if (regexes.size >= maxRegexes) regexes.clear();
    regexes.set(text, regex);
  }
  return regex;
}
