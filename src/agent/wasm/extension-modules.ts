// Between the control plane and the proxy: extension configurations that name a Wasm module on another server are given
// on with the module in a file, as Istio's agent does it. Others go on at once. Where a module cannot be had, the
// configuration is refused; one that shall fail open is then replaced by a filter that lets everything pass.
import { create, fromBinary } from "@bufbuild/protobuf";
import { type Any, anyPack } from "@bufbuild/protobuf/wkt";
import { describeError } from "#base/error.ts";
import type { Logger } from "#base/log/log.ts";
import { AsyncDataSourceSchema, type RemoteDataSource } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import { type TypedExtensionConfig, TypedExtensionConfigSchema } from "#wire/gen/envoy/config/core/v3/extension_pb.ts";
import { RBACSchema as HttpRbacSchema } from "#wire/gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.ts";
import { WasmSchema as HttpWasmSchema } from "#wire/gen/envoy/extensions/filters/http/wasm/v3/wasm_pb.ts";
import { RBACSchema as NetworkRbacSchema } from "#wire/gen/envoy/extensions/filters/network/rbac/v3/rbac_pb.ts";
import { WasmSchema as NetworkWasmSchema } from "#wire/gen/envoy/extensions/filters/network/wasm/v3/wasm_pb.ts";
import { FailurePolicy, type PluginConfig } from "#wire/gen/envoy/extensions/wasm/v3/wasm_pb.ts";
import type { DeltaUpdate, PreparedUpdate, Refusals } from "#wire/xds/delta-state.ts";
import type { ModuleSource, ModuleStore, PullSettings } from "./module-store.ts";

type Received = DeltaUpdate["added"][number];

/** Variables that are for an agent and not for the module. */
const ofAgent = /^ISTIO_META_WASM_/;

const defaultTimeoutMs = 30_000;

export class ExtensionModules {
  readonly #store: Pick<ModuleStore, "file" | "keep" | "stop">;
  readonly #log: Logger;

  constructor(store: Pick<ModuleStore, "file" | "keep" | "stop">, log: Logger) {
    this.#store = store;
    this.#log = log;
  }

  /** What can be taken at once, and the rest when its modules are there. */
  prepare(update: DeltaUpdate): PreparedUpdate {
    const ready: Received[] = [];
    const waiting: Promise<Outcome>[] = [];
    for (const received of update.added) {
      const plugin = readPlugin(received.resource);
      const remote = plugin === undefined ? undefined : remoteOf(plugin.config);
      if (plugin === undefined || remote === undefined) {
        void this.#store.keep(received.name, []);
        ready.push(plugin === undefined ? received : { ...received, resource: written(plugin) });
      } else waiting.push(this.#withModule(received, plugin, sourceOf(remote, plugin.config)));
    }
    for (const name of update.removed) void this.#store.keep(name, []);
    return { ready: { ...update, added: ready }, rest: waiting.length === 0 ? null : this.#together(update, waiting) };
  }

  stop(): Promise<void> {
    return this.#store.stop();
  }

  async #together(
    update: DeltaUpdate,
    waiting: readonly Promise<Outcome>[],
  ): Promise<{ readonly update: DeltaUpdate; readonly refusals: Refusals }> {
    const outcomes = await Promise.all(waiting);
    return {
      update: { ...update, added: outcomes.flatMap(({ received }) => received ?? []), removed: [] },
      refusals: new Map(outcomes.flatMap(({ name, refusal }) => (refusal === null ? [] : [[name, refusal]]))),
    };
  }

  async #withModule(received: Received, plugin: Plugin, source: ModuleSource): Promise<Outcome> {
    const { name } = received;
    try {
      const filename = await this.#store.file(source);
      void this.#store.keep(name, [source]);
      return { name, received: { ...received, resource: written(plugin, filename) }, refusal: null };
    } catch (error) {
      const refusal = `extension ${name}: ${describeError(error)}`;
      this.#log.warn(refusal);
      const isOpen = plugin.config.failOpen || plugin.config.failurePolicy === FailurePolicy.FAIL_OPEN;
      return { name, received: isOpen ? { ...received, resource: passing(plugin) } : null, refusal };
    }
  }
}

/** The extension as a proxy sees it once its module is there, for who has no proxy. */
export function withModuleInFile(extension: TypedExtensionConfig): TypedExtensionConfig {
  const packed = anyPack(TypedExtensionConfigSchema, extension);
  const plugin = readPlugin(packed);
  if (plugin === undefined || remoteOf(plugin.config) === undefined) return extension;
  return fromBinary(TypedExtensionConfigSchema, written(plugin, "module.wasm").value);
}

interface Outcome {
  readonly name: string;
  readonly received: Received | null;
  readonly refusal: string | null;
}

interface Plugin {
  readonly extension: TypedExtensionConfig;
  readonly config: PluginConfig;
  readonly isNetwork: boolean;
}

/** Undefined for what is no Wasm filter, or cannot be read: the proxy says what is wrong with it. */
function readPlugin(resource: Any): Plugin | undefined {
  try {
    const extension = fromBinary(TypedExtensionConfigSchema, resource.value);
    const type = extension.typedConfig?.typeUrl.split("/").at(-1);
    const bytes = extension.typedConfig?.value ?? new Uint8Array();
    const isNetwork = type === NetworkWasmSchema.typeName;
    if (!isNetwork && type !== HttpWasmSchema.typeName) return undefined;
    const { config } = isNetwork ? fromBinary(NetworkWasmSchema, bytes) : fromBinary(HttpWasmSchema, bytes);
    return config === undefined ? undefined : { extension, config, isNetwork };
  } catch {
    return undefined;
  }
}

function remoteOf({ vm }: PluginConfig): RemoteDataSource | undefined {
  const source = vm.case === "vmConfig" ? vm.value.code?.specifier : undefined;
  return source?.case === "remote" ? source.value : undefined;
}

/** What the control plane says of an image goes by variables of the VM, which the module never sees. */
function pullSettings({ vm }: PluginConfig): PullSettings {
  const variables = vm.case === "vmConfig" ? (vm.value.environmentVariables?.keyValues ?? {}) : {};
  return {
    policy: variables["ISTIO_META_WASM_IMAGE_PULL_POLICY"] ?? "",
    version: variables["ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION"] ?? "",
    secret: variables["ISTIO_META_WASM_IMAGE_PULL_SECRET"] ?? "",
  };
}

function sourceOf({ httpUri, sha256 }: RemoteDataSource, config: PluginConfig): ModuleSource {
  const { seconds = 0n, nanos = 0 } = httpUri?.timeout ?? {};
  const timeoutMs = Number(seconds) * 1000 + nanos / 1_000_000;
  const url = httpUri?.uri ?? "";
  return {
    url,
    sha256: sha256.toLowerCase(),
    timeoutMs: timeoutMs || defaultTimeoutMs,
    ...(url.startsWith("oci://") && { pull: pullSettings(config) }),
  };
}

/** The configuration for the proxy; with a file, the module is there. */
function written({ extension, config, isNetwork }: Plugin, filename?: string): Any {
  if (config.vm.case === "vmConfig") {
    const { environmentVariables: variables } = config.vm.value;
    for (const name of Object.keys(variables?.keyValues ?? {})) {
      if (ofAgent.test(name)) delete variables?.keyValues[name];
    }
    if (filename !== undefined && config.vm.value.code !== undefined) {
      const local = { case: "local" as const, value: { specifier: { case: "filename" as const, value: filename } } };
      config.vm.value.code = create(AsyncDataSourceSchema, { specifier: local });
    }
  }
  extension.typedConfig = isNetwork
    ? anyPack(NetworkWasmSchema, create(NetworkWasmSchema, { config }))
    : anyPack(HttpWasmSchema, create(HttpWasmSchema, { config }));
  return anyPack(TypedExtensionConfigSchema, extension);
}

/** Rules that nobody breaks. */
function passing({ extension, isNetwork }: Plugin): Any {
  extension.typedConfig = isNetwork
    ? anyPack(NetworkRbacSchema, create(NetworkRbacSchema, { statPrefix: "wasm-default-allow" }))
    : anyPack(HttpRbacSchema, create(HttpRbacSchema, {}));
  return anyPack(TypedExtensionConfigSchema, extension);
}
