// The Wasm network filter: runs a proxy-wasm plugin for each connection.
import { WasmSchema } from "#wire/gen/envoy/extensions/filters/network/wasm/v3/wasm_pb.ts";
import { parsePluginConfig, type WasmPluginConfig } from "../../../wasm/plugin-config.ts";
import type { PluginUse } from "../../../wasm/wasm-host.ts";
import { defineNetworkFilter, type NetworkFilterFactory, type NetworkFilterType, settingsFrom } from "../../filter.ts";
import { WasmConnectionFilter } from "./connection-filter.ts";

export const wasm: NetworkFilterType = defineNetworkFilter<WasmPluginConfig>({
  type: "wasm",
  messages: [
    settingsFrom(WasmSchema, (message, { path, problems }) =>
      parsePluginConfig(message.config, `${path}.config`, problems),
    ),
  ],
  configure: (config, { environment }) => {
    const use = environment.http.wasm.use(config);
    const factory: NetworkFilterFactory = { shared: null, create: () => new WasmConnectionFilter(use.plugin) };
    unused.register(factory, use);
    return factory;
  },
});

// A filter chain has no end of its own: its connections keep it until they are closed.
const unused = new FinalizationRegistry<PluginUse>((use) => use.release());
