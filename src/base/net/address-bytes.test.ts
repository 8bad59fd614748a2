import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress } from "./address-bytes.ts";

test("addresses are read in all their spellings", () => {
  assert.deepEqual([...(parseAddress("::1") ?? [])], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
  assert.deepEqual([...(parseAddress("::ffff:1.2.3.4") ?? [])].slice(10), [0xff, 0xff, 1, 2, 3, 4]);
  assert.deepEqual([...(parseAddress("fe80::1%eth0") ?? [])].slice(0, 2), [0xfe, 0x80]);
  for (const wrong of ["", "1.2.3", "1.2.3.256", "1.2.3.4.5", "::1::", "abcd", "1.2.3.-4"]) {
    assert.equal(parseAddress(wrong), null, wrong);
  }
});
