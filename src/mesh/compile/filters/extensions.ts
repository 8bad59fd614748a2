// The filters of Wasm modules: in the chains they are only named, by phase; their settings come over ECDS, as Istio does
// it. Who serves traffic waits for them as long as it takes, because they may decide who may do what.
import { create, type DescMessage, fromBinary, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import { type Any, StringValueSchema } from "@bufbuild/protobuf/wkt";
import type { AsyncDataSourceSchema } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import {
  ApiVersion,
  type ExtensionConfigSource,
  ExtensionConfigSourceSchema,
} from "#wire/gen/envoy/config/core/v3/config_source_pb.ts";
import { type TypedExtensionConfig, TypedExtensionConfigSchema } from "#wire/gen/envoy/config/core/v3/extension_pb.ts";
import { type Filter, FilterSchema } from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import { RBACSchema as HttpRbacSchema } from "#wire/gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.ts";
import { WasmSchema as HttpWasmSchema } from "#wire/gen/envoy/extensions/filters/http/wasm/v3/wasm_pb.ts";
import {
  type HttpFilter,
  HttpFilterSchema,
} from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { RBACSchema as NetworkRbacSchema } from "#wire/gen/envoy/extensions/filters/network/rbac/v3/rbac_pb.ts";
import { WasmSchema as NetworkWasmSchema } from "#wire/gen/envoy/extensions/filters/network/wasm/v3/wasm_pb.ts";
import { FailurePolicy, type PluginConfigSchema } from "#wire/gen/envoy/extensions/wasm/v3/wasm_pb.ts";
import { isImage } from "../../objects/fields/wasm-module.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";
import type { WorkloadExtension } from "../../snapshot/workload-extensions.ts";
import { milliseconds, pack } from "../envoy-values.ts";
import { once } from "../shared-work.ts";
import type { ListenerClass } from "./http-filters.ts";
import type { WorkloadAuthorization } from "./rbac/workload-authorization.ts";

/** Filters by the phase of their module. */
interface Phases<Item> {
  readonly authn: readonly Item[];
  readonly authz: readonly Item[];
  /** STATS, and then those without a phase. */
  readonly late: readonly Item[];
}

export interface ListenerExtensions {
  /** Within a snapshot, listeners with equal keys have the same filters. */
  readonly key: string;
  readonly http: Phases<HttpFilter>;
  readonly network: Phases<Filter>;
}

const nothing: ListenerExtensions = {
  key: "",
  http: { authn: [], authz: [], late: [] },
  network: { authn: [], authz: [], late: [] },
};

/** `port` is the workload's inbound, the service's outbound and the server's at a gateway; 0 for unknown traffic. */
export function listenerExtensions(
  snapshot: MeshSnapshot,
  proxy: ProxyNode,
  place: ListenerClass,
  port: number,
): ListenerExtensions {
  const all = snapshot.extensions(proxy);
  if (all.length === 0) return nothing;
  return once(all, `${place} ${port}`, () => {
    const here = all.filter(({ match }) => isMatched(match, place, port));
    return {
      key: here.map(({ resourceName }) => resourceName).join(" "),
      http: byPhase(
        here.filter((extension) => !isNetwork(extension)),
        httpFilter,
      ),
      network: byPhase(here.filter(isNetwork), networkFilter),
    };
  });
}

/** A gateway is the client of what it forwards to. */
function isMatched(match: WorkloadExtension["match"], place: ListenerClass, port: number): boolean {
  if (match.length === 0) return true;
  const side = place === "sidecar-inbound" ? "SERVER" : "CLIENT";
  return match.some(
    ({ mode, ports }) =>
      (mode === "UNDEFINED" || mode === "CLIENT_AND_SERVER" || mode === side) &&
      (ports.length === 0 || ports.some(({ number }) => number === port)),
  );
}

function byPhase<Item>(
  extensions: readonly WorkloadExtension[],
  make: (extension: WorkloadExtension) => Item,
): Phases<Item> {
  const of = (...phases: string[]): Item[] =>
    phases.flatMap((phase) => extensions.filter((extension) => extension.phase === phase).map(make));
  return { authn: of("AUTHN"), authz: of("AUTHZ"), late: of("STATS", "UNSPECIFIED_PHASE") };
}

function isNetwork({ module }: WorkloadExtension): boolean {
  return module.type === "NETWORK";
}

/** The filters that decide, with the modules between them: CUSTOM, AUTHN, tokens, AUTHZ, policies, the others. */
export function httpWithExtensions(
  { http }: ListenerExtensions,
  authorization: WorkloadAuthorization | undefined,
): HttpFilter[] {
  const { custom, tokens, policies } = authorization?.parts ?? {};
  return [
    ...(custom?.http ?? []),
    ...http.authn,
    ...(tokens?.http ?? []),
    ...http.authz,
    ...(policies?.http ?? []),
    ...http.late,
  ];
}

export function tcpWithExtensions(
  { network }: ListenerExtensions,
  authorization: WorkloadAuthorization | undefined,
): Filter[] {
  const { custom, policies } = authorization?.parts ?? {};
  return [...network.authn, ...(custom?.tcp ?? []), ...network.authz, ...(policies?.tcp ?? []), ...network.late];
}

/** On connections that speak HTTP, before anything of it is read. */
export function beforeHttp({ network }: ListenerExtensions): Filter[] {
  return [...network.authn, ...network.authz, ...network.late];
}

const urlOf = ({ typeName }: DescMessage): string => `type.googleapis.com/${typeName}`;

/** An agent that cannot get a module may put RBAC in its place: for everybody, or for nobody. */
function discovery(...types: DescMessage[]): ExtensionConfigSource {
  return create(ExtensionConfigSourceSchema, {
    configSource: {
      configSourceSpecifier: { case: "ads", value: {} },
      resourceApiVersion: ApiVersion.V3,
      initialFetchTimeout: milliseconds(0),
    },
    typeUrls: types.map(urlOf),
  });
}

const httpDiscovery = discovery(HttpWasmSchema, HttpRbacSchema);
const networkDiscovery = discovery(NetworkWasmSchema, NetworkRbacSchema);

function httpFilter({ resourceName }: WorkloadExtension): HttpFilter {
  return create(HttpFilterSchema, {
    name: resourceName,
    configType: { case: "configDiscovery", value: httpDiscovery },
  });
}

function networkFilter({ resourceName }: WorkloadExtension): Filter {
  return create(FilterSchema, { name: resourceName, configType: { case: "configDiscovery", value: networkDiscovery } });
}

/** The module's settings, as ECDS delivers them. */
export function extensionConfig(extension: WorkloadExtension): TypedExtensionConfig {
  return once(extension.object, extension.resourceName, () => {
    const config = pluginConfig(extension);
    const typedConfig = isNetwork(extension) ? pack(NetworkWasmSchema, { config }) : pack(HttpWasmSchema, { config });
    return create(TypedExtensionConfigSchema, { name: extension.resourceName, typedConfig });
  });
}

const failurePolicies: Readonly<Record<string, FailurePolicy>> = {
  FAIL_OPEN: FailurePolicy.FAIL_OPEN,
  FAIL_RELOAD: FailurePolicy.FAIL_RELOAD,
};

/** What Istio's agents read of the VM's variables, and take away before the module sees them. */
const policyVariable = "ISTIO_META_WASM_IMAGE_PULL_POLICY";
const secretVariable = "ISTIO_META_WASM_IMAGE_PULL_SECRET";
const versionVariable = "ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION";

function pluginConfig({ object, module }: WorkloadExtension): MessageInitShape<typeof PluginConfigSchema> {
  const variables = module.vmConfig?.env ?? [];
  const inline = variables.filter(({ valueFrom }) => valueFrom === "INLINE");
  return {
    name: `${object.namespace}.${object.name}`,
    rootId: module.pluginName ?? "",
    ...(Object.keys(module.pluginConfig).length > 0 && { configuration: asText(module.pluginConfig as JsonObject) }),
    failurePolicy: failurePolicies[module.failStrategy] ?? FailurePolicy.FAIL_CLOSED,
    vm: {
      case: "vmConfig",
      value: {
        runtime: "envoy.wasm.runtime.v8",
        code: codeOf(isImage(module.url) ? asImage(module.url) : module.url, module.sha256),
        environmentVariables: {
          keyValues: {
            ...(module.imagePullPolicy !== "UNSPECIFIED_POLICY" && { [policyVariable]: module.imagePullPolicy }),
            [versionVariable]: object.metadata.resourceVersion ?? "",
            ...Object.fromEntries(inline.map(({ name, value }) => [name, value])),
          },
          hostEnvKeys: variables.filter(({ valueFrom }) => valueFrom === "HOST").map(({ name }) => name),
        },
      },
    },
  };
}

/** The module reads JSON. */
function asText(value: JsonObject): Any {
  return pack(StringValueSchema, { value: JSON.stringify(value) });
}

const fetchTimeoutMs = 30_000;

/** An address without a scheme is that of an image. */
function asImage(url: string): string {
  return url.includes("://") ? url : `oci://${url}`;
}

/** The variable in which an agent finds what pulls the image. */
export function withPullSecret(extension: TypedExtensionConfig, secret: string): TypedExtensionConfig {
  const { typedConfig } = extension;
  if (typedConfig === undefined) return extension;
  const schema = typedConfig.typeUrl === urlOf(NetworkWasmSchema) ? NetworkWasmSchema : HttpWasmSchema;
  const filter = fromBinary(schema, typedConfig.value);
  const vm = filter.config?.vm;
  if (vm?.case === "vmConfig" && vm.value.environmentVariables !== undefined) {
    vm.value.environmentVariables.keyValues[secretVariable] = secret;
  }
  return create(TypedExtensionConfigSchema, { name: extension.name, typedConfig: pack(schema, filter) });
}

/** The agent fetches what is remote, so that the cluster does not matter. */
function codeOf(url: string, sha256: string): MessageInitShape<typeof AsyncDataSourceSchema> {
  if (url.startsWith("file://")) {
    const filename = url.slice("file://".length);
    return { specifier: { case: "local", value: { specifier: { case: "filename", value: filename } } } };
  }
  const httpUri = {
    uri: url,
    timeout: milliseconds(fetchTimeoutMs),
    httpUpstreamType: { case: "cluster" as const, value: "_" },
  };
  return { specifier: { case: "remote", value: { httpUri, sha256 } } };
}
