// Plugin configurations for tests: every field has a sensible value, and a test names only what it is about.
import type { WasmPluginConfig, WasmVmConfig } from "../plugin-config.ts";

export function pluginConfig(
  module: Uint8Array,
  overrides: Partial<Omit<WasmPluginConfig, "vm">> & { readonly vm?: Partial<WasmVmConfig> } = {},
): WasmPluginConfig {
  return {
    name: "test",
    rootId: "root",
    configuration: Buffer.alloc(0),
    failurePolicy: "fail_closed",
    reloadMs: 1000,
    allowsHeadersStop: false,
    ...overrides,
    vm: {
      id: "vm",
      code: { type: "inline", bytes: module },
      configuration: Buffer.alloc(0),
      hostEnvironmentKeys: [],
      environment: new Map(),
      allowedCapabilities: null,
      ...overrides.vm,
    },
  };
}
