// HOT: per request with a hash policy, and per entry of a hash ring; bench/load-balancer.ts. XXH64 of the xxHash
// specification in 32-bit arithmetic: synchronous and without BigInt. Every character of the text is one byte (latin1),
// which is what header values and addresses are here.
import { MutableHash64 } from "./hash64.ts";

// The five primes of the specification, as halves.
const P1H = 0x9e3779b1;
const P1L = 0x85ebca87;
const P2H = 0xc2b2ae3d;
const P2L = 0x27d4eb4f;
const P3H = 0x165667b1;
const P3L = 0x9e3779f9;
const P4H = 0x85ebca77;
const P4L = 0xc2b2ae63;
const P5H = 0x27d4eb2f;
const P5L = 0x165667c5;

/** Hashes with a seed of less than 2^32. */
export function xxHash64(text: string, seed: number, out: MutableHash64): void {
  const length = text.length;
  let at = 0;
  if (length >= 32) {
    at = hashStripes(text, seed, out);
  } else {
    out.high = P5H;
    out.low = P5L;
    add(out, 0, seed);
  }
  add(out, 0, length);
  for (; at + 8 <= length; at += 8) {
    const low = word(text, at);
    const high = word(text, at + 4);
    // round(0, lane): lane × P2, rotated by 31, × P1.
    let productHigh = multiplyHigh(high, low, P2H, P2L);
    let productLow = Math.imul(low, P2L);
    const turned = (productHigh << 31) | (productLow >>> 1);
    productLow = (productLow << 31) | (productHigh >>> 1);
    productHigh = multiplyHigh(turned, productLow, P1H, P1L);
    productLow = Math.imul(productLow, P1L);
    out.high ^= productHigh;
    out.low ^= productLow;
    rotate(out, 27);
    multiply(out, P1H, P1L);
    add(out, P4H, P4L);
  }
  if (at + 4 <= length) {
    const lane = word(text, at);
    out.high ^= multiplyHigh(0, lane, P1H, P1L);
    out.low ^= Math.imul(lane, P1L);
    rotate(out, 23);
    multiply(out, P2H, P2L);
    add(out, P3H, P3L);
    at += 4;
  }
  for (; at < length; at++) {
    const lane = text.charCodeAt(at) & 0xff;
    out.high ^= multiplyHigh(0, lane, P5H, P5L);
    out.low ^= Math.imul(lane, P5L);
    rotate(out, 11);
    multiply(out, P1H, P1L);
  }
  avalanche(out);
}

/** The part of 32 bytes at a time; returns where the rest begins. */
function hashStripes(text: string, seed: number, out: MutableHash64): number {
  const one = accumulator(P1H, P1L, seed);
  add(one, P2H, P2L);
  const two = accumulator(P2H, P2L, seed);
  const three = accumulator(0, 0, seed);
  // seed - P1, as an addition of the two's complement.
  const four = accumulator(~P1H >>> 0, -P1L >>> 0, seed);
  let at = 0;
  for (; at + 32 <= text.length; at += 32) {
    round(one, word(text, at + 4), word(text, at));
    round(two, word(text, at + 12), word(text, at + 8));
    round(three, word(text, at + 20), word(text, at + 16));
    round(four, word(text, at + 28), word(text, at + 24));
  }
  out.high = 0;
  out.low = 0;
  addRotated(out, one, 1);
  addRotated(out, two, 7);
  addRotated(out, three, 12);
  addRotated(out, four, 18);
  merge(out, one);
  merge(out, two);
  merge(out, three);
  merge(out, four);
  return at;
}

function accumulator(high: number, low: number, seed: number): MutableHash64 {
  const it = new MutableHash64();
  it.high = high;
  it.low = low;
  add(it, 0, seed);
  return it;
}

function round(it: MutableHash64, laneHigh: number, laneLow: number): void {
  add(it, multiplyHigh(laneHigh, laneLow, P2H, P2L), Math.imul(laneLow, P2L));
  rotate(it, 31);
  multiply(it, P1H, P1L);
}

function addRotated(out: MutableHash64, it: MutableHash64, bits: number): void {
  add(out, (it.high << bits) | (it.low >>> (32 - bits)), (it.low << bits) | (it.high >>> (32 - bits)));
}

function merge(out: MutableHash64, it: MutableHash64): void {
  const lane = new MutableHash64();
  round(lane, it.high, it.low);
  out.high ^= lane.high;
  out.low ^= lane.low;
  multiply(out, P1H, P1L);
  add(out, P4H, P4L);
}

function avalanche(out: MutableHash64): void {
  // hash ^= hash >> 33, × P2, hash ^= hash >> 29, × P3, hash ^= hash >> 32.
  out.low ^= out.high >>> 1;
  multiply(out, P2H, P2L);
  out.low ^= (out.high << 3) | (out.low >>> 29);
  out.high ^= out.high >>> 29;
  multiply(out, P3H, P3L);
  out.low = (out.low ^ out.high) >>> 0;
  out.high >>>= 0;
}

function word(text: string, at: number): number {
  return (
    (text.charCodeAt(at) & 0xff) |
    ((text.charCodeAt(at + 1) & 0xff) << 8) |
    ((text.charCodeAt(at + 2) & 0xff) << 16) |
    (text.charCodeAt(at + 3) << 24)
  );
}

function add(it: MutableHash64, high: number, low: number): void {
  const sum = (it.low >>> 0) + (low >>> 0);
  it.low = sum >>> 0;
  it.high = (it.high + high + (sum > 0xffff_ffff ? 1 : 0)) >>> 0;
}

/** By less than 32 bits. */
function rotate(it: MutableHash64, bits: number): void {
  const { high, low } = it;
  it.high = (high << bits) | (low >>> (32 - bits));
  it.low = (low << bits) | (high >>> (32 - bits));
}

function multiply(it: MutableHash64, high: number, low: number): void {
  it.high = multiplyHigh(it.high, it.low, high, low);
  it.low = Math.imul(it.low, low) >>> 0;
}

/** The upper half of a 64-bit product; the lower half is `Math.imul(aLow, bLow)`. */
export function multiplyHigh(aHigh: number, aLow: number, bHigh: number, bLow: number): number {
  const a0 = aLow & 0xffff;
  const a1 = aLow >>> 16;
  const b0 = bLow & 0xffff;
  const b1 = bLow >>> 16;
  const middle = a1 * b0 + ((a0 * b0) >>> 16);
  const carry = a1 * b1 + (middle >>> 16) + ((a0 * b1 + (middle & 0xffff)) >>> 16);
  return (carry + Math.imul(aHigh, bLow) + Math.imul(aLow, bHigh)) >>> 0;
}
