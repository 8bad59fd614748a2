// A map from address blocks to values: the longest block that contains an address wins. Made at configuration time.
import { parseAddress } from "./address-bytes.ts";

export interface CidrMap<T> {
  /** The value of the most specific block around the address, or of no block at all; else null. */
  readonly find: (address: string) => T | null;
}

/** Groups members by their blocks (none: matches every address) and makes one value of each group. */
export function cidrMap<M, T>(
  members: readonly M[],
  rangesOf: (member: M) => readonly string[],
  valueOf: (members: readonly M[]) => T,
): CidrMap<T> {
  const anywhere: M[] = [];
  const byRange = new Map<string, M[]>();
  for (const member of members) {
    const ranges = rangesOf(member);
    if (ranges.length === 0) anywhere.push(member);
    for (const range of ranges) {
      const same = byRange.get(range);
      if (same === undefined) byRange.set(range, [member]);
      else same.push(member);
    }
  }
  const fallback = anywhere.length === 0 ? null : valueOf(anywhere);
  if (byRange.size === 0) return { find: () => fallback };
  const blocks = [...byRange]
    .map(([range, same]) => ({ block: parseBlock(range), value: valueOf(same) }))
    .sort((a, b) => b.block.bits - a.block.bits);
  return {
    find: (address) => {
      const bytes = parseAddress(address);
      if (bytes === null) return fallback;
      for (const { block, value } of blocks) if (contains(block, bytes)) return value;
      return fallback;
    },
  };
}

interface Block {
  readonly bytes: Uint8Array;
  readonly bits: number;
}

function parseBlock(range: string): Block {
  const slash = range.indexOf("/");
  const bytes = parseAddress(slash === -1 ? range : range.slice(0, slash)) ?? new Uint8Array(4);
  return { bytes, bits: slash === -1 ? bytes.length * 8 : Number(range.slice(slash + 1)) };
}

function contains(block: Block, address: Uint8Array): boolean {
  if (address.length !== block.bytes.length) return false;
  const whole = block.bits >> 3;
  for (let i = 0; i < whole; i++) if (address[i] !== block.bytes[i]) return false;
  const rest = block.bits & 7;
  return rest === 0 || (((address[whole] ?? 0) ^ (block.bytes[whole] ?? 0)) & (0xff << (8 - rest)) & 0xff) === 0;
}
