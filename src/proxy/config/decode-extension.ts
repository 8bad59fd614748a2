// envoy.config.core.v3.TypedExtensionConfig: the settings of a filter, as ECDS delivers them.
import type { TypedExtensionConfig } from "#wire/gen/envoy/config/core/v3/extension_pb.ts";
import { isHttpFilter, readHttpFilter } from "./decode-http-filters.ts";
import { isNetworkFilter, readNetworkFilter } from "./decode-network-filters.ts";
import type { ExtensionConfig } from "./extension.ts";
import { typeName } from "./parse/values.ts";
import { type Decoded, Problems } from "./problems.ts";
import { whyRefused } from "./refused-filters.ts";

const path = "typed_config";

export function decodeExtension({ name, typedConfig }: TypedExtensionConfig): Decoded<ExtensionConfig> {
  const problems = new Problems("extension", name);
  if (typedConfig === undefined) {
    problems.invalid(path, "is missing");
    return problems.done<ExtensionConfig>(null);
  }
  const type = typeName(typedConfig);
  const [isHttp, isNetwork] = [isHttpFilter(type), isNetworkFilter(type)];
  if (!isHttp && !isNetwork) problems.unsupported(path, `the filter ${whyRefused(type)}`);
  const http = isHttp ? readHttpFilter(name, typedConfig, path, problems) : null;
  const network = isNetwork ? readNetworkFilter(name, typedConfig, path, problems) : null;
  if (http?.type === "router" || network?.isTerminal === true) {
    problems.invalid(path, `${type} ends a chain, and has to stand in it`);
  }
  return problems.done<ExtensionConfig>({ name, typeName: type, http, network });
}
