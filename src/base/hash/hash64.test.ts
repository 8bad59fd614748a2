// The hashes against values that other implementations made: the xxHash library, and `std::hash<std::string>` of GNU C++.
import assert from "node:assert/strict";
import { test } from "node:test";
import { combineHash, type Hash64, MutableHash64, remainder } from "./hash64.ts";
import { murmurHash2 } from "./murmur-hash2.ts";
import { xxHash64 } from "./xx-hash64.ts";

function hex(hash: Hash64): string {
  return hash.high.toString(16).padStart(8, "0") + hash.low.toString(16).padStart(8, "0");
}

function xx(text: string, seed = 0): Hash64 {
  const out = new MutableHash64();
  xxHash64(text, seed, out);
  return out;
}

/** Length and seed of a text whose byte `i` is `(73 i + 11) mod 256`. Every branch by length is here. */
const xxVectors: readonly (readonly [length: number, seed: number, expected: string])[] = [
  [0, 0, "ef46db3751d8e999"],
  [1, 0, "f592c0c7639c4cb6"],
  [3, 0, "5fee252fa2c64857"],
  [4, 0, "82c08da69ad29cb4"],
  [7, 1, "17218b4d48b9a6e4"],
  [8, 0, "df9f4b1b92fc24a1"],
  [12, 0, "86232020820c36c6"],
  [13, 77, "072ed6542077b57e"],
  [16, 0, "c3f9da525ca5746e"],
  [31, 0, "b44fa064f191aa03"],
  [32, 0, "57c1d558d5b4dfa4"],
  [33, 5, "fae9bb0387507e7b"],
  [40, 0, "8437cb57a176095e"],
  [63, 0, "052e661df11e8980"],
  [64, 4294967295, "fb0a506e7dcd414d"],
  [65, 0, "57a590f234adad7b"],
  [100, 0, "85d5ca76d9e72be9"],
  [127, 0, "e3f146b55e5cf969"],
];

test("xxHash64 gives the values of the xxHash library for every length class, with and without seed", () => {
  for (const [length, seed, expected] of xxVectors) {
    const text = String.fromCharCode(...Array.from({ length }, (_, i) => (i * 73 + 11) & 0xff));
    assert.equal(hex(xx(text, seed)), expected, `${length} bytes, seed ${seed}`);
  }
  assert.equal(hex(xx("abc")), "44bc2cf5ad770999");
  assert.equal(hex(xx("10.0.0.1:80_0")), "75041381e7371a08");
});

test("MurmurHash2 gives the values of std::hash in GNU C++", () => {
  const vectors = [
    ["", "553e93901e462a6e"],
    ["a", "454ddee488c1ed6b"],
    ["abcd", "de775125acd50b28"],
    ["abcde", "0b41619c0ed21531"],
    ["foobarbaz", "f20fe5f6e0fceb44"],
    ["10.0.0.1:80_0", "bd8f6461ecffb28c"],
    ["10.244.123.12:8080_17", "8f3511bc794cbd0e"],
  ] as const;
  const out = new MutableHash64();
  for (const [text, expected] of vectors) {
    murmurHash2(text, out);
    assert.equal(hex(out), expected, text);
  }
});

test("the remainder is exact over all 64 bits", () => {
  for (const divisor of [1, 2, 100, 65_537, 5_000_011]) {
    for (const text of ["", "a", "b", "10.0.0.1:80", "a much longer text that fills more than one stripe"]) {
      const hash = xx(text);
      const exact = Number(((BigInt(hash.high) << 32n) | BigInt(hash.low)) % BigInt(divisor));
      assert.equal(remainder(hash, divisor), exact, `${text} mod ${divisor}`);
    }
  }
});

test("hashes of several policies are combined by rotation and exclusive or", () => {
  const first = { high: 0x8000_0000, low: 0x8000_0001 };
  assert.deepEqual(combineHash(null, first), first);
  // Rotated left by one: the top bit comes back as the lowest.
  assert.deepEqual(combineHash(first, { high: 0, low: 0 }), { high: 1, low: 3 });
  assert.notDeepEqual(combineHash(xx("a"), xx("b")), combineHash(xx("b"), xx("a")));
});
