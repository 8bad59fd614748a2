// What a plugin is made from, for HTTP and network filters alike: its own configuration, the VM that it runs in, where the
// VM's code comes from, and what happens when it fails. Nothing is loaded here.
// Message: envoy.extensions.wasm.v3.PluginConfig.
import { fromBinary, toJsonString } from "@bufbuild/protobuf";
import { type Any, BytesValueSchema, type Duration, StringValueSchema, StructSchema } from "@bufbuild/protobuf/wkt";
import type { AsyncDataSource, RemoteDataSource } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import { FailurePolicy, type PluginConfig, type VmConfig } from "#wire/gen/envoy/extensions/wasm/v3/wasm_pb.ts";
import { milliseconds, typeName } from "../config/parse/values.ts";
import type { Problems } from "../config/problems.ts";

export interface WasmPluginConfig {
  readonly name: string;
  readonly rootId: string;
  readonly configuration: Buffer;
  readonly failurePolicy: "fail_closed" | "fail_open" | "fail_reload";
  /** At least this long lies between two reloads. */
  readonly reloadMs: number;
  /** `StopIteration` from a headers callback keeps the headers only; otherwise it stops everything. */
  readonly allowsHeadersStop: boolean;
  readonly vm: WasmVmConfig;
}

export interface WasmVmConfig {
  readonly id: string;
  readonly code: WasmCode;
  readonly configuration: Buffer;
  readonly hostEnvironmentKeys: readonly string[];
  readonly environment: ReadonlyMap<string, string>;
  /** Null: everything is allowed. */
  readonly allowedCapabilities: ReadonlySet<string> | null;
}

export type WasmCode =
  | { readonly type: "inline"; readonly bytes: Uint8Array }
  | { readonly type: "file"; readonly path: string }
  | {
      readonly type: "remote";
      readonly uri: string;
      readonly cluster: string;
      readonly timeoutMs: number;
      /** Lower-case hexadecimal. */
      readonly sha256: string;
      readonly retries: number;
      readonly backoffBaseMs: number;
      readonly backoffMaxMs: number;
    };

const runtimes: ReadonlySet<string> = new Set(["", "envoy.wasm.runtime.v8"]);

/** Null after a problem was told. */
export function parsePluginConfig(
  config: PluginConfig | undefined,
  path: string,
  problems: Problems,
): WasmPluginConfig | null {
  if (config?.vm.case !== "vmConfig") {
    problems.invalid(`${path}.vm_config`, "is missing");
    return null;
  }
  const vm = parseVm(config, config.vm.value, `${path}.vm_config`, problems);
  if (vm === null) return null;
  if (config.failOpen && config.failurePolicy !== FailurePolicy.UNSPECIFIED) {
    problems.invalid(`${path}.failure_policy`, "cannot be set together with fail_open");
  }
  return {
    name: config.name,
    rootId: config.rootId,
    configuration: configurationBytes(config.configuration, `${path}.configuration`, problems),
    failurePolicy: failurePolicyOf(config),
    reloadMs: positive(config.reloadConfig?.backoff?.baseInterval, 1000),
    allowsHeadersStop: config.allowOnHeadersStopIteration ?? false,
    vm,
  };
}

function failurePolicyOf({ failOpen, failurePolicy }: PluginConfig): WasmPluginConfig["failurePolicy"] {
  if (failOpen || failurePolicy === FailurePolicy.FAIL_OPEN) return "fail_open";
  return failurePolicy === FailurePolicy.FAIL_RELOAD ? "fail_reload" : "fail_closed";
}

function parseVm(plugin: PluginConfig, vm: VmConfig, path: string, problems: Problems): WasmVmConfig | null {
  if (!runtimes.has(vm.runtime)) {
    if (vm.runtime === "envoy.wasm.runtime.null") {
      problems.unsupported(`${path}.runtime`, "a plugin that is compiled into Envoy");
      return null;
    }
    problems.replaced(`${path}.runtime`, `the runtime ${vm.runtime}`, "the module runs on V8");
  }
  if (vm.allowPrecompiled) problems.leftOut(`${path}.allow_precompiled`, "precompiled code in a module");
  if (vm.nackOnCodeCacheMiss) {
    problems.replaced(
      `${path}.nack_on_code_cache_miss`,
      "refusing a configuration whose code is not there yet",
      "requests wait until the code is there",
    );
  }
  const code = parseCode(vm.code, `${path}.code`, problems);
  if (code === null) return null;
  const variables = vm.environmentVariables;
  const environment = new Map(Object.entries(variables?.keyValues ?? {}));
  const hostEnvironmentKeys = variables?.hostEnvKeys ?? [];
  for (const key of hostEnvironmentKeys) {
    if (environment.has(key)) {
      problems.invalid(`${path}.environment_variables`, `"${key}" is both given and taken from the host`);
    }
  }
  const capabilities = Object.keys(plugin.capabilityRestrictionConfig?.allowedCapabilities ?? {});
  return {
    id: vm.vmId,
    code,
    configuration: configurationBytes(vm.configuration, `${path}.configuration`, problems),
    hostEnvironmentKeys,
    environment,
    allowedCapabilities: capabilities.length === 0 ? null : new Set(capabilities),
  };
}

function parseCode(source: AsyncDataSource | undefined, path: string, problems: Problems): WasmCode | null {
  switch (source?.specifier.case) {
    case "local": {
      const { specifier } = source.specifier.value;
      if (specifier.case === "filename") return { type: "file", path: specifier.value };
      if (specifier.case === "inlineBytes") return { type: "inline", bytes: specifier.value };
      if (specifier.case === undefined) problems.invalid(`${path}.local`, "is empty");
      else problems.unsupported(`${path}.local`, "code as text or from an environment variable");
      return null;
    }
    case "remote":
      return parseRemote(source.specifier.value, `${path}.remote`, problems);
    default:
      problems.invalid(path, "is missing");
      return null;
  }
}

function parseRemote(remote: RemoteDataSource, path: string, problems: Problems): WasmCode | null {
  const http = remote.httpUri;
  if (http === undefined || http.httpUpstreamType.case !== "cluster" || !URL.canParse(http.uri)) {
    problems.invalid(`${path}.http_uri`, "needs a URI and a cluster");
    return null;
  }
  const sha256 = remote.sha256.toLowerCase();
  if (!/^[0-9a-f]{64}$/.test(sha256)) {
    problems.invalid(`${path}.sha256`, "is not a SHA-256 in hexadecimal");
    return null;
  }
  const backoff = remote.retryPolicy?.retryBackOff;
  const backoffBaseMs = positive(backoff?.baseInterval, 1000);
  return {
    type: "remote",
    uri: http.uri,
    cluster: http.httpUpstreamType.value,
    timeoutMs: positive(http.timeout, 5000),
    sha256,
    retries: remote.retryPolicy?.numRetries ?? 1,
    backoffBaseMs,
    backoffMaxMs: Math.max(backoffBaseMs, positive(backoff?.maxInterval, backoffBaseMs * 10)),
  };
}

function positive(duration: Duration | undefined, otherwise: number): number {
  const value = milliseconds(duration, otherwise);
  return value > 0 ? value : otherwise;
}

/** What a module gets to read: texts and bytes as they are, structures as JSON, other messages as their bytes. */
function configurationBytes(any: Any | undefined, path: string, problems: Problems): Buffer {
  if (any === undefined) return Buffer.alloc(0);
  try {
    switch (typeName(any)) {
      case StringValueSchema.typeName:
        return Buffer.from(fromBinary(StringValueSchema, any.value).value, "utf8");
      case BytesValueSchema.typeName:
        return Buffer.from(fromBinary(BytesValueSchema, any.value).value);
      case StructSchema.typeName:
        return Buffer.from(toJsonString(StructSchema, fromBinary(StructSchema, any.value)), "utf8");
      default:
        return Buffer.from(any.value);
    }
  } catch {
    problems.invalid(path, `the bytes are not a ${typeName(any)}`);
    return Buffer.alloc(0);
  }
}
