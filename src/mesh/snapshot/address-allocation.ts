// Addresses for ServiceEntries that name none, so that clients whose DNS is captured can tell their hosts apart. What an
// entry's status says stays; the rest is found from the host itself, so that without a status (configuration from
// files) an entry that comes or goes moves no other.

import { MutableHash64, remainder } from "#base/hash/hash64.ts";
import { xxHash64 } from "#base/hash/xx-hash64.ts";
import { parseAddress } from "#base/net/address-bytes.ts";
import { EntryResolution, type ServiceEntrySpec } from "../kinds/service-entry/spec.ts";
import { isWildcard } from "../objects/host.ts";
import type { MeshObject } from "../objects/mesh-object.ts";

type Entry = MeshObject<ServiceEntrySpec>;

/** Host in lower case → an address of each family. */
export type HostAddresses = ReadonlyMap<string, readonly string[]>;

/** Usable addresses of 240.240.0.0/16; the IPv6 range 2001:2::/48 is counted alike. */
const rangeSize = 65_534;
const optOutLabel = "networking.istio.io/enable-autoallocate-ip";

/** Entries are given oldest first: of two that claim an address the older one keeps it. */
export function allocateAddresses(entries: readonly Entry[]): ReadonlyMap<Entry, HostAddresses> {
  const used = new Set<string>();
  const allocated = new Map(entries.filter(wantsAddresses).map((entry) => [entry, keptAddresses(entry, used)]));
  for (const [entry, hosts] of allocated) {
    for (const host of hostsOf(entry)) if (!hosts.has(host)) hosts.set(host, freeAddresses(entry, host, used));
  }
  return allocated;
}

function wantsAddresses({ spec, metadata }: Entry): boolean {
  return (
    spec.addresses.length === 0 &&
    spec.resolution !== EntryResolution.None &&
    metadata.labels?.[optOutLabel]?.toLowerCase() !== "false"
  );
}

function hostsOf({ spec }: Entry): string[] {
  const hosts = spec.hosts.map((host) => host.toLowerCase());
  return hosts.filter((host) => !isWildcard(host) || spec.resolution === EntryResolution.DynamicDns);
}

function keptAddresses(entry: Entry, used: Set<string>): Map<string, readonly string[]> {
  const kept = new Map<string, readonly string[]>();
  for (const host of hostsOf(entry)) {
    const own = entry.spec.assignedAddresses
      .filter((assigned) => assigned.host.toLowerCase() === host && parseAddress(assigned.value) !== null)
      .map(({ value }) => value);
    if (own.length === 0 || own.some((address) => used.has(address))) continue;
    for (const address of own) used.add(address);
    kept.set(host, own);
  }
  return kept;
}

function freeAddresses(entry: Entry, host: string, used: Set<string>): string[] {
  const hash = new MutableHash64();
  xxHash64(`${entry.namespace}/${entry.name}/${host}`, 0, hash);
  const start = remainder(hash, rangeSize);
  for (let step = 0; step < rangeSize; step++) {
    const number = ((start + step) % rangeSize) + 1;
    const v4 = `240.240.${number >> 8}.${number & 255}`;
    const v6 = `2001:2::${number.toString(16)}`;
    if (used.has(v4) || used.has(v6)) continue;
    used.add(v4);
    used.add(v6);
    return [v4, v6];
  }
  return [];
}
