// Which ProxyConfigs apply to a workload, as fields of `proxy.istio.io/config`. The precedence is in README.md.
import { type Labels, selects } from "../../objects/fields/selector.ts";
import type { MeshObject } from "../../objects/mesh-object.ts";
import type { ProxyConfigSpec } from "./spec.ts";

type ProxyConfig = MeshObject<ProxyConfigSpec>;
type Fields = Readonly<Record<string, unknown>>;

/** What the pod's own annotation lies between. */
export interface ProxyConfigLayers {
  /** Of the root namespace and of the workload's, the latter on top. */
  readonly below: readonly Fields[];
  /** Of the workload itself. */
  readonly above: Fields;
}

/** `root` and `own` are the ProxyConfigs of the root namespace and of the workload's, oldest first. */
export function proxyConfigLayers(
  root: readonly ProxyConfig[],
  own: readonly ProxyConfig[],
  labels: Labels,
): ProxyConfigLayers {
  const matching = own.find((config) => !isNamespaceWide(config) && selects(selectorOf(config), labels));
  return {
    below: [fieldsOf(root.find(isNamespaceWide)), fieldsOf(own.find(isNamespaceWide))],
    above: fieldsOf(matching),
  };
}

function isNamespaceWide(config: ProxyConfig): boolean {
  return Object.keys(selectorOf(config)).length === 0;
}

function selectorOf({ spec }: ProxyConfig): Labels {
  return spec.selector?.matchLabels ?? {};
}

function fieldsOf(config: ProxyConfig | undefined): Fields {
  if (config === undefined) return {};
  const { concurrency, environmentVariables, image } = config.spec;
  return {
    ...(concurrency !== undefined && { concurrency }),
    ...(Object.keys(environmentVariables).length > 0 && { proxyMetadata: environmentVariables }),
    ...(image !== undefined && { image }),
  };
}
