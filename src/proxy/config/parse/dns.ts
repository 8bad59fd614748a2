// What clusters and caches say of lookups alike.
import {
  type Cluster_RefreshRate,
  Cluster_DnsLookupFamily as LookupFamily,
} from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import type { DnsConfig } from "../cluster.ts";
import type { Problems } from "../problems.ts";
import { milliseconds } from "./values.ts";

export function parseFailureRefresh(
  rate: Cluster_RefreshRate | undefined,
  path: string,
  problems: Problems,
): DnsConfig["failureRefresh"] {
  if (rate === undefined) return null;
  const baseMs = milliseconds(rate.baseInterval, 0);
  const maxMs = milliseconds(rate.maxInterval, baseMs * 10);
  if (baseMs < 1) problems.invalid(`${path}.base_interval`, "is below 1 ms");
  if (maxMs < baseMs) problems.invalid(`${path}.max_interval`, "is below base_interval");
  return { baseMs, maxMs };
}

export function parseLookupFamily(family: LookupFamily): DnsConfig["family"] {
  return families[family] ?? "auto";
}

const families: Readonly<Record<number, DnsConfig["family"]>> = {
  [LookupFamily.AUTO]: "auto",
  [LookupFamily.V4_ONLY]: "v4_only",
  [LookupFamily.V6_ONLY]: "v6_only",
  [LookupFamily.V4_PREFERRED]: "v4_preferred",
  [LookupFamily.ALL]: "all",
};
