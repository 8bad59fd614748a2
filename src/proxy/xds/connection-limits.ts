// How many downstream connections the bootstrap allows: of the whole proxy (a resource monitor, or Envoy's older runtime
// key) and of single listeners (runtime keys).
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { fromBinary } from "@bufbuild/protobuf";
import type { Bootstrap } from "#wire/gen/envoy/config/bootstrap/v3/bootstrap_pb.ts";
import { DownstreamConnectionsConfigSchema } from "#wire/gen/envoy/extensions/resource_monitors/downstream_connections/v3/downstream_connections_pb.ts";
import { typeName } from "../config/parse/values.ts";

export interface ConnectionLimits {
  /** Infinite without a limit. */
  readonly total: number;
  readonly byListener: ReadonlyMap<string, number>;
}

const totalKey = "overload.global_downstream_max_connections";
const listenerKey = /^envoy\.resource_limits\.listener\.(.+)\.connection_limit$/;

export function connectionLimits(bootstrap: Bootstrap): ConnectionLimits {
  const runtime = flatten(bootstrap);
  const byListener = new Map<string, number>();
  for (const [key, value] of runtime) {
    const name = listenerKey.exec(key)?.[1];
    if (name !== undefined) byListener.set(name, value);
  }
  return { total: monitoredLimit(bootstrap) ?? runtime.get(totalKey) ?? Number.POSITIVE_INFINITY, byListener };
}

function monitoredLimit(bootstrap: Bootstrap): number | undefined {
  for (const { configType } of bootstrap.overloadManager?.resourceMonitors ?? []) {
    if (configType.case !== "typedConfig") continue;
    if (typeName(configType.value) !== DownstreamConnectionsConfigSchema.typeName) continue;
    const config = fromBinary(DownstreamConnectionsConfigSchema, configType.value.value);
    return Number(config.maxActiveDownstreamConnections);
  }
  return undefined;
}

/** The numbers of all static layers, later ones over earlier ones. Names may be nested or dotted, as Envoy reads both. */
function flatten(bootstrap: Bootstrap): Map<string, number> {
  const values = new Map<string, number>();
  for (const { layerSpecifier } of bootstrap.layeredRuntime?.layers ?? []) {
    if (layerSpecifier.case === "staticLayer") collect(layerSpecifier.value, "", values);
  }
  return values;
}

function collect(layer: JsonObject, prefix: string, values: Map<string, number>): void {
  for (const [key, value] of Object.entries(layer)) {
    const name = prefix + key;
    const number = asNumber(value);
    if (number !== null) values.set(name, number);
    else if (typeof value === "object" && value !== null && !Array.isArray(value)) collect(value, `${name}.`, values);
  }
}

function asNumber(value: JsonValue): number | null {
  const number = typeof value === "string" && value !== "" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : null;
}
