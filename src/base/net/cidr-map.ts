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
  const byBlock = new Map<string, { readonly block: Block; readonly members: M[] }>();
  for (const member of members) {
    const ranges = rangesOf(member);
    if (ranges.length === 0) anywhere.push(member);
    for (const range of ranges) {
      const block = parseBlock(range);
      const key = keyOf(block);
      const same = byBlock.get(key);
      if (same === undefined) byBlock.set(key, { block, members: [member] });
      else if (!same.members.includes(member)) same.members.push(member);
    }
  }
  const fallback = anywhere.length === 0 ? null : valueOf(anywhere);
  if (byBlock.size === 0) return { find: () => fallback };
  const blocks = [...byBlock.values()]
    .map(({ block, members: same }) => ({ block, value: valueOf(same) }))
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

/** The same for two ways to write one block. */
export function blockKey(range: string): string {
  return keyOf(parseBlock(range));
}

/** Bits outside the block say nothing: 10.1.2.3/8 is 10.0.0.0/8. */
function keyOf({ bytes, bits }: Block): string {
  return `${bytes.join(".")}/${bits}`;
}

interface Block {
  readonly bytes: Uint8Array;
  readonly bits: number;
}

function parseBlock(range: string): Block {
  const slash = range.indexOf("/");
  const bytes = parseAddress(slash === -1 ? range : range.slice(0, slash)) ?? new Uint8Array(4);
  const bits = slash === -1 ? bytes.length * 8 : Number(range.slice(slash + 1));
  for (let i = 0; i < bytes.length; i++) {
    const kept = Math.min(8, Math.max(0, bits - i * 8));
    bytes[i] = (bytes[i] as number) & (0xff << (8 - kept));
  }
  return { bytes, bits };
}

function contains(block: Block, address: Uint8Array): boolean {
  if (address.length !== block.bytes.length) return false;
  const whole = block.bits >> 3;
  for (let i = 0; i < whole; i++) if (address[i] !== block.bytes[i]) return false;
  const rest = block.bits & 7;
  return rest === 0 || (((address[whole] ?? 0) ^ (block.bytes[whole] ?? 0)) & (0xff << (8 - rest)) & 0xff) === 0;
}
