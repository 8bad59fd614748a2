// What changes the objects that run a Gateway: ConfigMaps of defaults for its class, and the one that its
// `infrastructure.parametersRef` names, which comes after them. Each holds patches in YAML, by kind of object; what they
// may not change is refused as a whole, so that no gateway runs half of what was meant.
import { parse } from "yaml";
import { type ConfigMapSpec, type InfrastructurePart, infrastructureParts } from "../kinds/config-map/spec.ts";
import type { KubernetesGatewaySpec } from "../kinds/kubernetes-gateway/spec.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import type { ApiProblem } from "./conditions.ts";
import type { GatewayApiInput } from "./input.ts";

type Gateway = MeshObject<KubernetesGatewaySpec>;
type ConfigMap = MeshObject<ConfigMapSpec>;

/** Strategic merge patches, in the order in which they are laid on. */
export type Overlays = Readonly<Partial<Record<InfrastructurePart, readonly Overlay[]>>>;
type Overlay = Readonly<Record<string, unknown>>;

export interface GatewayInfrastructureResult {
  readonly overlays: Overlays;
  /** What was named cannot be laid on; nothing is made or changed meanwhile. */
  readonly problem?: ApiProblem;
}

/** On a ConfigMap of the root namespace; the value is the class. */
const defaultsLabel = "gateway.istio.io/defaults-for-class";

export function gatewayInfrastructure(
  gateway: Gateway,
  { configMaps, rootNamespace }: Pick<GatewayApiInput, "configMaps" | "rootNamespace">,
): GatewayInfrastructureResult {
  const { gatewayClassName, infrastructure } = gateway.spec;
  const maps = configMaps
    .filter(
      ({ namespace, metadata }) => namespace === rootNamespace && metadata.labels?.[defaultsLabel] === gatewayClassName,
    )
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const ref = infrastructure?.parametersRef;
  if (ref !== undefined) {
    const own = parametersOf(gateway, ref, configMaps);
    if ("reason" in own) return { overlays: {}, problem: own };
    maps.push(...own.maps);
  }
  const overlays: Partial<Record<InfrastructurePart, Overlay[]>> = {};
  for (const map of maps) {
    for (const part of infrastructureParts) {
      const text = map.spec.infrastructure?.[part];
      if (text === undefined) continue;
      const read = readOverlay(text);
      if (typeof read === "string") {
        const message = `${part} in the ConfigMap ${map.namespace}/${map.name} ${read}`;
        return { overlays: {}, problem: { reason: "InvalidParameters", message } };
      }
      overlays[part] = [...(overlays[part] ?? []), read];
    }
  }
  return { overlays };
}

function parametersOf(
  { namespace }: Gateway,
  ref: { readonly group: string; readonly kind: string; readonly name: string },
  configMaps: readonly ConfigMap[],
): { maps: ConfigMap[] } | ApiProblem {
  const reason = "InvalidParameters";
  if (ref.group !== "" || ref.kind !== "ConfigMap") {
    return { reason, message: `parametersRef ${ref.group || "core"}/${ref.kind} is not supported; a ConfigMap is` };
  }
  const found = configMaps.find((map) => map.namespace === namespace && map.name === ref.name);
  if (found?.spec.infrastructure !== undefined) return { maps: [found] };
  // Without any ConfigMap nobody knows: then they are not in this snapshot.
  if (configMaps.length === 0) return { maps: [] };
  const message = `there is no ConfigMap ${namespace}/${ref.name} with one of ${infrastructureParts.join(", ")}`;
  return { reason, message };
}

/** The patch, or what is wrong with it. */
function readOverlay(text: string): Overlay | string {
  let value: unknown;
  try {
    value = parse(text);
  } catch (error) {
    return `is not YAML: ${String((error as Error).message).split("\n")[0]}`;
  }
  if (value === null) return {};
  if (!isMapping(value)) return "is not a mapping";
  const wrong = Object.keys(value).find((key) => key !== "spec" && key !== "metadata");
  if (wrong !== undefined) return `says ${wrong}; metadata and spec can be changed`;
  const { metadata, spec } = value;
  if (metadata !== undefined && !isMapping(metadata)) return "has metadata that is not a mapping";
  if (spec !== undefined && !isMapping(spec)) return "has a spec that is not a mapping";
  const field = Object.keys(metadata ?? {}).find((key) => key !== "labels" && key !== "annotations");
  return field === undefined ? value : `says metadata.${field}; labels and annotations can be changed`;
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
