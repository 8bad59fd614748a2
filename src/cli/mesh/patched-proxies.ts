// What EnvoyFilters do to the pods that are there, told by compiling for one pod of each look: patches that find nothing to
// change, and those that ask for what our proxy refuses.
import { type Issue, Severity } from "#base/issue.ts";
import { type CompiledResources, compileProxy } from "#mesh/compile/compile.ts";
import { idlePatchIssues, type PatchedProxy } from "#mesh/compile/patches/effects.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { decodeProxy } from "./decoded-proxy.ts";
import { proxyFactsOf, proxyNodeOf } from "./pod-proxy.ts";
import { hasProxy, type Pod } from "./pods.ts";

/** More looks than this tell hardly more. */
const maxLooks = 200;

export function patchIssues(snapshot: MeshSnapshot, pods: readonly Pod[]): Issue[] {
  if (snapshot.objects("EnvoyFilter").length === 0) return [];
  const refused = new Map<string, Issue>();
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
      const resources = compileProxy(snapshot, node);
      for (const issue of refusalsOf(resources)) refused.set(`${issue.object?.name} ${issue.message}`, issue);
      const { clusters, routing } = resources.patches;
      proxy = { node, applied: clusters.union(routing) };
      byLook.set(look, proxy);
    }
    proxies.push(proxy);
  }
  return [...idlePatchIssues(snapshot, proxies), ...refused.values()];
}

/** A warning, because an Envoy would take what our proxy does not. */
function refusalsOf(resources: CompiledResources): Issue[] {
  return decodeProxy(resources).refusals.flatMap(({ code, message, origins }) =>
    origins
      .filter(({ kind }) => kind === "EnvoyFilter")
      .map(({ kind, namespace, name, file, line }): Issue => {
        const position = file === undefined ? undefined : { file, line: line ?? 1, column: 1 };
        return {
          code,
          severity: Severity.Warning,
          message,
          object: { kind, namespace, name },
          ...(position !== undefined && { position }),
        };
      }),
  );
}
