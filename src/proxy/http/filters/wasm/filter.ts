// The Wasm filter: runs a proxy-wasm plugin for each stream. The plugin is loaded when the filter is configured; streams
// that come before it is there wait for it.
import { WasmSchema } from "#wire/gen/envoy/extensions/filters/http/wasm/v3/wasm_pb.ts";
import { parsePluginConfig, type WasmPluginConfig } from "../../../wasm/plugin-config.ts";
import type { PluginUse } from "../../../wasm/wasm-host.ts";
import { defineHttpFilter, type HttpFilterFactory, type HttpFilterType, settingsFrom } from "../../filter.ts";
import { WasmStreamFilter } from "./stream-filter.ts";

export const wasm: HttpFilterType = defineHttpFilter<WasmPluginConfig>({
  type: "wasm",
  messages: [
    settingsFrom(WasmSchema, (message, { path, problems }) =>
      parsePluginConfig(message.config, `${path}.config`, problems),
    ),
  ],
  configure: (config, { environment }) => {
    const use = environment.wasm.use(config);
    const factory: HttpFilterFactory = { shared: null, create: (stream) => new WasmStreamFilter(stream, use.plugin) };
    unused.register(factory, use);
    return factory;
  },
});

// A chain of filters has no end of its own: the connections that use an old configuration keep it until they are closed.
const unused = new FinalizationRegistry<PluginUse>((use) => use.release());
