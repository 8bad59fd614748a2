// Wasm modules among the filters of a workload: WasmPlugins and TrafficExtensions, which are one thing since Istio 1.30.
// The greater priority comes first; then those of the workload's namespace before the root namespace's, the older first.
import type { TrafficExtensionSpec } from "../kinds/traffic-extension/spec.ts";
import type { WasmPluginSpec } from "../kinds/wasm-plugin/spec.ts";
import { isFor } from "../objects/fields/policy-target.ts";
import type { TrafficSelector, WasmModule } from "../objects/fields/wasm-module.ts";
import { byAge, type MeshObject } from "../objects/mesh-object.ts";
import type { ObjectTable } from "./object-table.ts";
import type { WorkloadSubject } from "./snapshot.ts";

export interface WorkloadExtension {
  readonly object: MeshObject<WasmPluginSpec | TrafficExtensionSpec>;
  /** Istio's name, of the filter and of its ECDS resource. */
  readonly resourceName: string;
  readonly module: WasmModule;
  readonly phase: string;
  readonly priority: number;
  readonly match: readonly TrafficSelector[];
}

/** The same list for the same extensions, so that work can be kept by it. */
export type WorkloadExtensions = (subject: WorkloadSubject) => readonly WorkloadExtension[];

const none: readonly WorkloadExtension[] = [];
const prefix = "extensions.istio.io/trafficextension/";
/** Istio translates a WasmPlugin into a TrafficExtension of this name. */
const translated = "~istio-translated-wasmplugin";

export function indexWorkloadExtensions(objects: ObjectTable, rootNamespace: string): WorkloadExtensions {
  if (objects.all("WasmPlugin").length + objects.all("TrafficExtension").length === 0) return () => none;
  const byNamespace = new Map<string, readonly WorkloadExtension[]>();
  const lists = new Map<string, readonly WorkloadExtension[]>();
  const inNamespace = (namespace: string): readonly WorkloadExtension[] => {
    let found = byNamespace.get(namespace);
    if (found === undefined) {
      found = [
        ...objects.inNamespace("WasmPlugin", namespace).map(ofPlugin),
        ...objects.inNamespace("TrafficExtension", namespace).flatMap(ofExtension),
      ].sort((a, b) => byAge(a.object, b.object));
      byNamespace.set(namespace, found);
    }
    return found;
  };
  return ({ namespace, labels }) => {
    const selected = [...inNamespace(namespace), ...(namespace === rootNamespace ? [] : inNamespace(rootNamespace))]
      .filter(({ object }) => isFor(object, { namespace, labels, rootNamespace }))
      .sort((a, b) => b.priority - a.priority);
    const key = selected.map(({ resourceName }) => resourceName).join(" ");
    const known = lists.get(key);
    if (known !== undefined) return known;
    lists.set(key, selected);
    return selected;
  };
}

function ofPlugin(object: MeshObject<WasmPluginSpec>): WorkloadExtension {
  const { phase, priority, match } = object.spec;
  const resourceName = `${prefix}${object.namespace}.${object.name}${translated}`;
  return { object, resourceName, module: object.spec, phase, priority, match };
}

/** Scripts are not run. */
function ofExtension(object: MeshObject<TrafficExtensionSpec>): WorkloadExtension[] {
  const { phase, priority, match, wasm } = object.spec;
  if (wasm === undefined) return [];
  const resourceName = `${prefix}${object.namespace}.${object.name}`;
  return [{ object, resourceName, module: wasm, phase, priority, match }];
}
