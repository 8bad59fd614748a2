// Settings of single balancing policies, which `lb_policy` and the extensions of `load_balancing_policy` share.
import type { Duration } from "@bufbuild/protobuf/wkt";
import {
  type ConsistentHashing,
  defaultZoneAware,
  type LeastRequestPolicy,
  type MaglevPolicy,
  type RingHashPolicy,
  type SlowStart,
  type ZoneAwareConfig,
} from "./load-balancing.ts";
import { milliseconds } from "./parse/values.ts";
import type { Problems } from "./problems.ts";

export function decodeLeastRequest(
  settings: {
    readonly choiceCount?: number | undefined;
    readonly activeRequestBias?: { readonly defaultValue: number } | undefined;
    readonly slowStartConfig?: SlowStartSettings | undefined;
  },
  path: string,
  problems: Problems,
): LeastRequestPolicy {
  const { choiceCount = 2, activeRequestBias, slowStartConfig } = settings;
  if (choiceCount < 2) problems.invalid(`${path}.choice_count`, `${choiceCount} is below 2`);
  const bias = activeRequestBias?.defaultValue ?? 1;
  if (bias < 0) problems.invalid(`${path}.active_request_bias`, `${bias} is negative`);
  const slowStart = decodeSlowStart(slowStartConfig, path, problems);
  return { type: "least_request", choiceCount, activeRequestBias: bias, slowStart };
}

interface SlowStartSettings {
  readonly slowStartWindow?: Duration | undefined;
  readonly aggression?: { readonly defaultValue: number } | undefined;
  readonly minWeightPercent?: { readonly value: number } | undefined;
}

export function decodeSlowStart(
  settings: SlowStartSettings | undefined,
  path: string,
  problems: Problems,
): SlowStart | null {
  const windowMs = milliseconds(settings?.slowStartWindow, 0);
  if (windowMs <= 0) return null;
  const aggression = settings?.aggression?.defaultValue ?? 1;
  if (aggression <= 0) problems.invalid(`${path}.slow_start_config.aggression`, `${aggression} is not above 0`);
  return { windowMs, aggression, minimumFactor: (settings?.minWeightPercent?.value ?? 10) / 100 };
}

export function decodeHashing(
  settings: { readonly useHostnameForHashing: boolean; readonly hashBalanceFactor?: number | undefined } | undefined,
  path: string,
  problems: Problems,
): ConsistentHashing {
  const factor = settings?.hashBalanceFactor;
  if (factor !== undefined && factor < 100) {
    problems.invalid(`${path}.consistent_hashing_lb_config.hash_balance_factor`, `${factor} is below 100`);
  }
  return { usesHostname: settings?.useHostnameForHashing ?? false, balanceFactorPercent: factor ?? 0 };
}

/** Envoy's limit of a ring. */
const maximumRing = 8_388_608;

export function decodeRingHash(
  sizes: { readonly minimumRingSize?: bigint | undefined; readonly maximumRingSize?: bigint | undefined },
  usesMurmur: boolean,
  hashing: ConsistentHashing,
  path: string,
  problems: Problems,
): RingHashPolicy {
  const minimumSize = Number(sizes.minimumRingSize ?? 1024n);
  const maximumSize = Number(sizes.maximumRingSize ?? BigInt(maximumRing));
  if (maximumSize > maximumRing)
    problems.invalid(`${path}.maximum_ring_size`, `${maximumSize} is above ${maximumRing}`);
  if (minimumSize > maximumSize) {
    problems.invalid(`${path}.minimum_ring_size`, `${minimumSize} is above the maximum of ${maximumSize}`);
  }
  const hashFunction = usesMurmur ? "murmur_hash_2" : "xx_hash";
  return { type: "ring_hash", minimumSize, maximumSize, hashFunction, ...hashing };
}

export function decodeMaglev(
  size: bigint | undefined,
  hashing: ConsistentHashing,
  path: string,
  problems: Problems,
): MaglevPolicy {
  const tableSize = Number(size ?? 65_537n);
  if (tableSize > 5_000_011) problems.invalid(`${path}.table_size`, `${tableSize} is above 5000011`);
  else if (!isPrime(tableSize)) problems.invalid(`${path}.table_size`, `${tableSize} is not a prime number`);
  return { type: "maglev", tableSize, ...hashing };
}

function isPrime(number: number): boolean {
  if (number < 2) return false;
  for (let divisor = 2; divisor * divisor <= number; divisor++) if (number % divisor === 0) return false;
  return true;
}

/** `zone_aware_lb_config`, of a cluster or of an extension, which knows more fields; undefined is the default. */
export function decodeZoneAware(
  settings:
    | {
        readonly routingEnabled?: { readonly value: number } | undefined;
        readonly minClusterSize?: bigint | undefined;
        readonly forceLocalityDirectRouting?: boolean;
        readonly forceLocalZone?: { readonly minSize?: number | undefined } | undefined;
        readonly countsWeights?: boolean;
      }
    | undefined,
): ZoneAwareConfig {
  if (settings === undefined) return defaultZoneAware;
  const { routingEnabled, minClusterSize, forceLocalityDirectRouting = false, forceLocalZone } = settings;
  const isForced = forceLocalZone !== undefined || forceLocalityDirectRouting;
  return {
    routingPercent: Math.round(Math.min(100, routingEnabled?.value ?? defaultZoneAware.routingPercent)),
    minClusterSize: Number(minClusterSize ?? defaultZoneAware.minClusterSize),
    forcedFrom: isForced ? (forceLocalZone?.minSize ?? 1) : null,
    countsWeights: settings.countsWeights ?? false,
  };
}
