// For tests: what Envoy, or our own proxy, would refuse of what is compiled from files for every proxy in them.
import { withModuleInFile } from "#agent/wasm/extension-modules.ts";
import { Severity } from "#base/issue.ts";
import { compileProxy } from "#mesh/compile/compile.ts";
import { refusals } from "#mesh/compile/testing/accepted.ts";
import { parseYamlDocuments } from "#mesh/objects/yaml.ts";
import { decodeView } from "#proxy/config/decode-view.ts";
import { proxyFactsOf, proxyNodeOf } from "../mesh/pod-proxy.ts";
import { hasProxy } from "../mesh/pods.ts";
import { offlineMesh } from "../offline/offline-mesh.ts";

export interface JudgedResources {
  /** Reasons, by proxy and resource. */
  readonly refused: readonly string[];
  readonly proxies: number;
  readonly resources: number;
}

/** Of all proxies, or of some pods'. */
export function judgeResources(yaml: string, podNames?: readonly string[]): JudgedResources {
  const { snapshot, pods } = offlineMesh(parseYamlDocuments("files.yaml", yaml).objects);
  const refused: string[] = [];
  const proxies = pods.filter((pod) => hasProxy(pod) && podNames?.includes(pod.metadata.name) !== false);
  let resources = 0;
  for (const pod of proxies) {
    const node = proxyNodeOf(proxyFactsOf(pod));
    if (typeof node === "string") throw new Error(node);
    const compiled = compileProxy(snapshot, node);
    const { listeners, routes, clusters, endpoints, extensions } = compiled;
    resources += listeners.size + routes.size + clusters.size + endpoints.size + extensions.size;
    const { issues } = decodeView({
      listeners: listeners.values(),
      routes: routes.values(),
      clusters: clusters.values(),
      endpoints: endpoints.values(),
      extensions: [...extensions.values()].map(withModuleInFile),
    });
    const errors = issues.filter(({ severity }) => severity === Severity.Error).map(({ message }) => message);
    refused.push(...[...refusals(compiled), ...errors].map((reason) => `${pod.metadata.name}: ${reason}`));
  }
  return { refused, proxies: proxies.length, resources };
}
