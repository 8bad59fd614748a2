// The layers of a bootstrap's `layered_runtime` that this proxy reads: static ones, and whether `/runtime_modify` has one.
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { Logger } from "#base/log/log.ts";
import type { Bootstrap } from "#wire/gen/envoy/config/bootstrap/v3/bootstrap_pb.ts";
import type { RuntimeLayer } from "../config/runtime.ts";

export interface RuntimeLayers {
  readonly layers: readonly RuntimeLayer[];
  /** True where no layers are configured, as in Envoy. */
  readonly hasAdmin: boolean;
}

export function runtimeLayers({ layeredRuntime }: Bootstrap, log: Logger): RuntimeLayers {
  const configured = layeredRuntime?.layers ?? [];
  const layers: RuntimeLayer[] = [];
  let hasAdmin = configured.length === 0;
  for (const { name, layerSpecifier } of configured) {
    if (layerSpecifier.case === "staticLayer") {
      const values = new Map<string, string>();
      collect(layerSpecifier.value, "", values);
      layers.push({ name, values });
    } else if (layerSpecifier.case === "adminLayer") hasAdmin = true;
    else log.warn(`layered_runtime: the layer "${name}" is left out: it is neither static_layer nor admin_layer`);
  }
  return { layers, hasAdmin };
}

/** Names may be nested or dotted, as Envoy reads both; a FractionalPercent is a value. */
function collect(layer: JsonObject, prefix: string, values: Map<string, string>): void {
  for (const [key, value] of Object.entries(layer)) {
    const name = prefix + key;
    if (isStruct(value) && !("numerator" in value)) collect(value, `${name}.`, values);
    else values.set(name, typeof value === "string" ? value : JSON.stringify(value));
  }
}

function isStruct(value: JsonValue): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
