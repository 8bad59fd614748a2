// What our proxy makes of the resources that it is sent, without the proxy.

import type { Message } from "@bufbuild/protobuf";
import { withModuleInFile } from "#agent/wasm/extension-modules.ts";
import { type Origin, Severity } from "#base/issue.ts";
import { metadataIn } from "#control/push/resource-origins.ts";
import type { CompiledResources } from "#mesh/compile/compile.ts";
import type { ProxyNode } from "#mesh/snapshot/proxy-node.ts";
import { decodeView } from "#proxy/config/decode-view.ts";
import { type LocalNode, selfDiscovery } from "#proxy/config/local-node.ts";
import type { ProxyView } from "#proxy/decide/view.ts";
import { decodeProvenance } from "#wire/xds/provenance.ts";

/** A resource that the proxy does not take. */
interface Refusal {
  readonly code: string;
  readonly message: string;
  /** Whose it is: EnvoyFilters, where there are any. */
  readonly origins: readonly Origin[];
}

export interface DecodedProxy {
  readonly view: ProxyView;
  readonly refusals: readonly Refusal[];
}

export function decodeProxy(compiled: CompiledResources, node?: ProxyNode): DecodedProxy {
  const { listeners, routes, clusters, endpoints, extensions, extensionOrigins } = compiled;
  const { view, issues } = decodeView(
    {
      listeners: listeners.values(),
      routes: routes.values(),
      clusters: clusters.values(),
      endpoints: endpoints.values(),
      extensions: [...extensions.values()].map(withModuleInFile),
    },
    node === undefined ? null : localNodeOf(node),
  );
  const byKind: Partial<Record<string, ReadonlyMap<string, Message>>> = {
    listener: listeners,
    route: routes,
    cluster: clusters,
    endpoints,
  };
  const refusals = new Map<string, Refusal>();
  for (const { code, severity, object, message: why } of issues) {
    if (severity !== Severity.Error) continue;
    const { kind = "", name = "" } = object ?? {};
    // Each chain of a listener says the same, so the place does not belong to the words.
    const message = `the proxy refuses ${kind} ${name}, and keeps what it had: ${why}`;
    if (refusals.has(message)) continue;
    const resource = byKind[kind]?.get(name);
    const origins =
      kind === "extension" ? (extensionOrigins.get(name) ?? []) : resource === undefined ? [] : writersOf(resource);
    refusals.set(message, { code, message, origins });
  }
  return { view, refusals: [...refusals.values()] };
}

function writersOf(resource: Message): readonly Origin[] {
  const all = [...metadataIn(resource)].flatMap((metadata) => decodeProvenance(metadata?.filterMetadata).origins);
  const patches = new Map(
    all.filter(({ kind }) => kind === "EnvoyFilter").map((origin) => [`${origin.namespace}/${origin.name}`, origin]),
  );
  return patches.size > 0 ? [...patches.values()] : all;
}

function localNodeOf({ locality, metadata }: ProxyNode): LocalNode | null {
  const { region, zone, subzone } = locality;
  return selfDiscovery({ locality: { region, zone, subZone: subzone }, metadata });
}
