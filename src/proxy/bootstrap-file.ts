// What the bootstrap file decides of a proxy, read before anything has started.
import type { LogRegistry } from "#base/log/log.ts";
import type { SecretStore } from "#wire/tls/secrets.ts";
import type { ProxyState } from "./admin/proxy-state.ts";
import type { LocalNode } from "./config/local-node.ts";
import type { OverloadConfig } from "./config/overload.ts";
import type { Configuration } from "./xds/configuration.ts";
import type { ConnectionLimits } from "./xds/connection-limits.ts";
import type { OwnTracer } from "./xds/own-tracer.ts";
import type { RuntimeLayers } from "./xds/runtime-layers.ts";

interface LoadedBootstrap {
  readonly json: ProxyState["bootstrap"];
  readonly overload: OverloadConfig;
  readonly runtime: RuntimeLayers;
  readonly connectionLimits: ConnectionLimits;
  /** Null: the file names none. */
  readonly tracer: OwnTracer | null;
  readonly local: LocalNode | null;
  apply(secrets: SecretStore, configuration: Configuration): void;
}

/** Imported where there is a file only. Throws what is wrong with it before anything has started. */
export async function loadBootstrap(path: string, registry: LogRegistry): Promise<LoadedBootstrap> {
  const { applyBootstrap, bootstrapJson, localNodeOf, overloadOf, readBootstrap, tracerOf } = await import(
    "./xds/bootstrap.ts"
  );
  const { connectionLimits } = await import("./xds/connection-limits.ts");
  const { runtimeLayers } = await import("./xds/runtime-layers.ts");
  const parsed = await readBootstrap(path);
  const runtime = runtimeLayers(parsed, registry.scope("runtime"));
  return {
    runtime,
    connectionLimits: connectionLimits(parsed, runtime.layers),
    json: bootstrapJson(parsed),
    overload: overloadOf(parsed, path, registry.scope("xds")),
    tracer: tracerOf(parsed, path, registry.scope("xds")),
    local: localNodeOf(parsed),
    apply: (secrets, configuration) => applyBootstrap(parsed, path, secrets, configuration),
  };
}
