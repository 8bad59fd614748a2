// `config_discovery` of a filter: from which ECDS resource its settings come, and what stands in for them.
import type { Any } from "@bufbuild/protobuf/wkt";
import type { ExtensionConfigSource } from "#wire/gen/envoy/config/core/v3/config_source_pb.ts";
import type { FilterDiscovery } from "./extension.ts";
import { typeName } from "./parse/values.ts";
import type { Problems } from "./problems.ts";

/** `read` makes a filter of the default; null after it told a problem. */
export function decodeDiscovery<Filter>(
  resource: string,
  source: ExtensionConfigSource,
  read: (config: Any, path: string) => Filter | null,
  path: string,
  problems: Problems,
): FilterDiscovery<Filter> | null {
  const at = `${path}.config_discovery`;
  const { configSource, typeUrls, defaultConfig, applyDefaultConfigWithoutWarming } = source;
  if (resource === "") problems.invalid(`${path}.name`, "is missing: it names the extension configuration");
  switch (configSource?.configSourceSpecifier.case) {
    case "ads":
    case "self":
      break;
    case undefined:
      problems.invalid(`${at}.config_source`, "is missing");
      break;
    default:
      problems.unsupported(`${at}.config_source`, "a source other than ads");
  }
  const typeNames = new Set(typeUrls.map((url) => url.slice(url.lastIndexOf("/") + 1)));
  if (typeNames.size === 0) problems.invalid(`${at}.type_urls`, "is empty");
  if (applyDefaultConfigWithoutWarming && defaultConfig === undefined) {
    problems.invalid(`${at}.default_config`, "is missing, and nothing is to be waited for");
  }
  let fallback: Filter | null = null;
  if (defaultConfig !== undefined) {
    if (!typeNames.has(typeName(defaultConfig))) {
      problems.invalid(`${at}.default_config`, `${typeName(defaultConfig)} is not among type_urls`);
    }
    fallback = read(defaultConfig, `${at}.default_config`);
    if (fallback === null) return null;
  }
  const timeout = configSource?.initialFetchTimeout;
  const isPatient = timeout !== undefined && timeout.seconds === 0n && timeout.nanos === 0;
  return { resource, typeNames, fallback, appliesFallbackAtOnce: applyDefaultConfigWithoutWarming, isPatient };
}
