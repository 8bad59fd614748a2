// MurmurHash64A with the seed of GNU libstdc++, as `std::hash<std::string>` and Envoy's MURMUR_HASH_2 rings use it. Every
// character of the text is one byte.
import type { MutableHash64 } from "./hash64.ts";
import { multiplyHigh } from "./xx-hash64.ts";

const SEED = 0xc70f6907;
const M_HIGH = 0xc6a4a793;
const M_LOW = 0x5bd1e995;

export function murmurHash2(text: string, out: MutableHash64): void {
  const length = text.length;
  // seed ^ (length × m)
  let high = multiplyHigh(0, length, M_HIGH, M_LOW);
  let low = (Math.imul(length, M_LOW) ^ SEED) >>> 0;
  let at = 0;
  for (; at + 8 <= length; at += 8) {
    let laneHigh = word(text, at + 4, 4);
    let laneLow = word(text, at, 4);
    let product = multiplyHigh(laneHigh, laneLow, M_HIGH, M_LOW);
    laneLow = Math.imul(laneLow, M_LOW);
    laneHigh = product;
    // lane ^= lane >> 47
    laneLow ^= laneHigh >>> 15;
    product = multiplyHigh(laneHigh, laneLow, M_HIGH, M_LOW);
    laneLow = Math.imul(laneLow, M_LOW);
    high ^= product;
    low ^= laneLow;
    high = multiplyHigh(high, low, M_HIGH, M_LOW);
    low = Math.imul(low, M_LOW);
  }
  const rest = length - at;
  if (rest > 0) {
    if (rest > 4) high ^= word(text, at + 4, rest - 4);
    low ^= word(text, at, rest < 4 ? rest : 4);
    high = multiplyHigh(high, low, M_HIGH, M_LOW);
    low = Math.imul(low, M_LOW);
  }
  low ^= high >>> 15;
  high = multiplyHigh(high, low, M_HIGH, M_LOW);
  low = Math.imul(low, M_LOW);
  low ^= high >>> 15;
  out.high = high >>> 0;
  out.low = low >>> 0;
}

/** Up to four bytes, the first one lowest. */
function word(text: string, at: number, count: number): number {
  let value = 0;
  for (let i = count - 1; i >= 0; i--) value = (value << 8) | (text.charCodeAt(at + i) & 0xff);
  return value;
}
