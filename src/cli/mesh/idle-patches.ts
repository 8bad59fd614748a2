// Patches of EnvoyFilters that find nothing to change at the pods that are there: told by compiling for one pod of each
// look.
import type { Issue } from "#base/issue.ts";
import { compileProxy } from "#mesh/compile/compile.ts";
import { idlePatchIssues, type PatchedProxy } from "#mesh/compile/patches/effects.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { proxyFactsOf, proxyNodeOf } from "./pod-proxy.ts";
import { hasProxy, type Pod } from "./pods.ts";

/** More looks than this tell hardly more. */
const maxLooks = 200;

export function idlePatchesOf(snapshot: MeshSnapshot, pods: readonly Pod[]): Issue[] {
  if (snapshot.objects("EnvoyFilter").length === 0) return [];
  const byLook = new Map<string, PatchedProxy>();
  const proxies: PatchedProxy[] = [];
  for (const pod of pods) {
    if (!hasProxy(pod)) continue;
    const facts = proxyFactsOf(pod);
    const look = JSON.stringify([facts.type, facts.namespace, facts.serviceAccount, facts.labels, facts.metadata]);
    let proxy = byLook.get(look);
    if (proxy === undefined) {
      const node = proxyNodeOf(facts);
      if (typeof node === "string" || snapshot.envoyFilters(node).length === 0 || byLook.size >= maxLooks) continue;
      const { clusters, routing } = compileProxy(snapshot, node).patches;
      proxy = { node, applied: clusters.union(routing) };
      byLook.set(look, proxy);
    }
    proxies.push(proxy);
  }
  return idlePatchIssues(snapshot, proxies);
}
