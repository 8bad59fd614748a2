// How many downstream connections the bootstrap allows: of the whole proxy (a resource monitor, or Envoy's older runtime
// key) and of single listeners (runtime keys).
import { fromBinary } from "@bufbuild/protobuf";
import type { Bootstrap } from "#wire/gen/envoy/config/bootstrap/v3/bootstrap_pb.ts";
import { DownstreamConnectionsConfigSchema } from "#wire/gen/envoy/extensions/resource_monitors/downstream_connections/v3/downstream_connections_pb.ts";
import { typeName } from "../config/parse/values.ts";
import type { RuntimeLayer } from "../config/runtime.ts";

export interface ConnectionLimits {
  /** Infinite without a limit. */
  readonly total: number;
  readonly byListener: ReadonlyMap<string, number>;
}

const totalKey = "overload.global_downstream_max_connections";
const listenerKey = /^envoy\.resource_limits\.listener\.(.+)\.connection_limit$/;

export function connectionLimits(bootstrap: Bootstrap, layers: readonly RuntimeLayer[]): ConnectionLimits {
  let total = Number.POSITIVE_INFINITY;
  const byListener = new Map<string, number>();
  for (const { values } of layers) {
    for (const [key, text] of values) {
      const value = text === "" ? Number.NaN : Number(text);
      if (!Number.isFinite(value)) continue;
      const name = listenerKey.exec(key)?.[1];
      if (name !== undefined) byListener.set(name, value);
      else if (key === totalKey) total = value;
    }
  }
  return { total: monitoredLimit(bootstrap) ?? total, byListener };
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
