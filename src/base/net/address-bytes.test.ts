import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { addressText, parseAddress } from "./address-bytes.ts";

test("addresses are read in all their spellings", () => {
  assert.deepEqual([...(parseAddress("::1") ?? [])], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
  assert.deepEqual([...(parseAddress("::ffff:1.2.3.4") ?? [])].slice(10), [0xff, 0xff, 1, 2, 3, 4]);
  assert.deepEqual([...(parseAddress("fe80::1%eth0") ?? [])].slice(0, 2), [0xfe, 0x80]);
  for (const wrong of ["", "1.2.3", "1.2.3.256", "1.2.3.4.5", "::1::", "abcd", "1.2.3.-4"]) {
    assert.equal(parseAddress(wrong), null, wrong);
  }
});

test("any address comes back from its text, and IPv6 is written as RFC 5952 says", () => {
  const bytes = fc.oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
    fc.array(fc.constantFrom(0, 0, 0, 1), { minLength: 16, maxLength: 16 }).map((list) => Uint8Array.from(list)),
  );
  fc.assert(
    fc.property(bytes, (address) => {
      const text = addressText(address);
      assert.deepEqual(parseAddress(text), address, text);
      // The platform's own spelling, but for addresses that it writes with an embedded IPv4 one.
      const url = new URL(`http://${address.length === 4 ? text : `[${text}]`}/`).hostname.replace(/^\[|\]$/g, "");
      assert.equal(text, url);
    }),
  );
  assert.equal(addressText(new Uint8Array(16)), "::");
});
