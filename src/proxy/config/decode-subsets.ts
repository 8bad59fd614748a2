// `lb_subset_config`, and the extension that says the same.
import type { JsonObject } from "@bufbuild/protobuf";
import type { SubsetConfig, SubsetSelector } from "./load-balancing.ts";
import type { Problems } from "./problems.ts";

/** What `LbSubsetConfig` and the extension `Subset` have in common; the enumerations have equal numbers. */
interface SubsetSettings {
  readonly fallbackPolicy: number;
  readonly defaultSubset?: JsonObject | undefined;
  readonly subsetSelectors: readonly {
    readonly keys: readonly string[];
    readonly singleHostPerSubset: boolean;
    readonly fallbackPolicy: number;
    readonly fallbackKeysSubset: readonly string[];
  }[];
  readonly localityWeightAware: boolean;
  readonly scaleLocalityWeight: boolean;
  readonly panicModeAny: boolean;
  readonly listAsAny: boolean;
  readonly metadataFallbackPolicy: number;
  /** Of the extension only. */
  readonly allowRedundantKeys?: boolean;
}

const fallbacks = ["no_fallback", "any_endpoint", "default_subset"] as const;
const selectorFallbacks = [null, "no_fallback", "any_endpoint", "default_subset", "keys_subset"] as const;

/** Null where no subset is asked for: without selectors a cluster is not divided. */
export function decodeSubsets(
  settings: SubsetSettings | undefined,
  path: string,
  problems: Problems,
): SubsetConfig | null {
  if (settings === undefined || settings.subsetSelectors.length === 0) return null;
  return {
    selectors: settings.subsetSelectors.map((selector, i) =>
      decodeSelector(selector, `${path}.subset_selectors[${i}]`, problems),
    ),
    fallback: fallbacks[settings.fallbackPolicy] ?? "no_fallback",
    defaultSubset: settings.defaultSubset ?? {},
    isLocalityWeightAware: settings.localityWeightAware,
    scalesLocalityWeight: settings.scaleLocalityWeight,
    panicModeAny: settings.panicModeAny,
    listAsAny: settings.listAsAny,
    usesFallbackList: settings.metadataFallbackPolicy === 1,
    allowsRedundantKeys: settings.allowRedundantKeys ?? false,
  };
}

function decodeSelector(
  selector: SubsetSettings["subsetSelectors"][number],
  path: string,
  problems: Problems,
): SubsetSelector {
  const keys = sorted(selector.keys);
  const fallback = selectorFallbacks[selector.fallbackPolicy] ?? null;
  const fallbackKeys = sorted(selector.fallbackKeysSubset);
  if (keys.length === 0) problems.invalid(`${path}.keys`, "is missing");
  if (selector.singleHostPerSubset && keys.length !== 1) {
    problems.invalid(`${path}.single_host_per_subset`, "needs exactly one key");
  }
  if (fallback === "keys_subset") checkFallbackKeys(keys, fallbackKeys, path, problems);
  else if (fallbackKeys.length > 0) problems.invalid(`${path}.fallback_keys_subset`, "belongs to KEYS_SUBSET only");
  return { keys, isSingleHost: selector.singleHostPerSubset, fallback, fallbackKeys };
}

function checkFallbackKeys(
  keys: readonly string[],
  fallbackKeys: readonly string[],
  path: string,
  problems: Problems,
): void {
  const unknown = fallbackKeys.filter((key) => !keys.includes(key));
  if (fallbackKeys.length === 0) problems.invalid(`${path}.fallback_keys_subset`, "is missing");
  else if (unknown.length > 0) {
    problems.invalid(`${path}.fallback_keys_subset`, `${unknown.join(", ")} is not among the selector's keys`);
  } else if (fallbackKeys.length === keys.length) {
    problems.invalid(`${path}.fallback_keys_subset`, "has all keys of the selector");
  }
}

function sorted(keys: readonly string[]): string[] {
  return [...new Set(keys)].sort();
}
