import assert from "node:assert/strict";
import { BlockList, isIPv6 } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { type CidrMap, cidrMap } from "./cidr-map.ts";

const blocks = (...ranges: string[]): CidrMap<string> =>
  cidrMap(
    ranges,
    (range) => [range],
    ([range = ""]) => range,
  );

test("an address block agrees with the platform's own for any address and length", () => {
  const octets = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255)).map((parts) => parts.join("."));
  const groups = fc
    .array(fc.nat(0xffff), { minLength: 8, maxLength: 8 })
    .map((parts) => parts.map((it) => it.toString(16)).join(":"));
  const cases = fc.oneof(
    fc.record({ base: octets, probe: octets, bits: fc.nat(32) }),
    fc.record({ base: groups, probe: groups, bits: fc.nat(128) }),
    octets.chain((base) => fc.record({ base: fc.constant(base), probe: fc.constant(base), bits: fc.nat(32) })),
  );
  fc.assert(
    fc.property(cases, ({ base, probe, bits }) => {
      const list = new BlockList();
      const family = isIPv6(base) ? "ipv6" : "ipv4";
      list.addSubnet(base, bits, family);
      const range = `${base}/${bits}`;
      const isInside = list.check(probe, isIPv6(probe) ? "ipv6" : "ipv4");
      assert.equal(blocks(range).find(probe), isInside ? range : null);
    }),
    { numRuns: 300 },
  );
});

test("the longest block around the address wins, and text that is no address is in no block", () => {
  const map = blocks("0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3");
  assert.equal(map.find("10.1.2.3"), "10.1.2.3");
  assert.equal(map.find("10.1.9.9"), "10.1.0.0/16");
  assert.equal(map.find("10.9.9.9"), "10.0.0.0/8");
  assert.equal(map.find("11.0.0.1"), "0.0.0.0/0");
  assert.equal(map.find("::1"), null);
  assert.equal(map.find("not-an-address"), null);
});

test("members without blocks take what no block takes", () => {
  const map = cidrMap(
    [["10.0.0.0/8"], [], ["10.0.0.0/8"]],
    (ranges) => ranges,
    (members) => members.length,
  );
  assert.equal(map.find("10.1.1.1"), 2);
  assert.equal(map.find("192.168.1.1"), 1);
});
