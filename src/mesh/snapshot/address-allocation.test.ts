import assert from "node:assert/strict";
import { test } from "node:test";
import { mesh } from "../compile/testing/mesh.ts";

interface EntryText {
  readonly name: string;
  readonly host: string;
  readonly spec?: string;
  readonly labels?: string;
  readonly status?: string;
  readonly created?: string;
}

const entry = ({
  name,
  host,
  spec = "resolution: DNS",
  labels = "{}",
  status = "{}",
  created = "2026-01-01",
}: EntryText) => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ${name}, labels: ${labels}, creationTimestamp: "${created}T00:00:00Z"}
spec:
  hosts: [${host}]
  ports: [{number: 443, name: tls, protocol: TLS}]
  ${spec}
status: ${status}
`;

function addressesOf(...entries: EntryText[]): Record<string, readonly string[]> {
  const snapshot = mesh([], entries.map(entry).join("---"));
  assert.deepEqual(
    snapshot.issues.filter(({ severity }) => severity === "error"),
    [],
  );
  return Object.fromEntries(snapshot.services.map((service) => [service.hostname, service.autoAllocatedAddresses]));
}

test("a host without addresses gets one of each range, always the same", () => {
  const one = addressesOf({ name: "a", host: "a.example" });
  assert.match(String(one["a.example"]), /^240\.240\.\d+\.\d+,2001:2::[0-9a-f]+$/);
  const beside = addressesOf({ name: "b", host: "b.example", created: "2025-01-01" }, { name: "a", host: "a.example" });
  assert.deepEqual(beside["a.example"], one["a.example"]);
  assert.notDeepEqual(beside["b.example"], one["a.example"]);
});

const none: readonly [why: string, entry: Partial<EntryText>][] = [
  ["it has addresses", { spec: "resolution: DNS\n  addresses: [10.1.1.1]" }],
  ["its resolution is NONE", { spec: "resolution: NONE" }],
  ["its label says so", { labels: '{networking.istio.io/enable-autoallocate-ip: "false"}' }],
  ["its host is a wildcard", { host: '"*.a.example"', spec: "resolution: STATIC\n  endpoints: [{address: 10.1.1.1}]" }],
];
for (const [why, change] of none) {
  test(`a ServiceEntry gets no addresses when ${why}`, () => {
    assert.deepEqual(Object.values(addressesOf({ name: "a", host: "a.example", ...change })), [[]]);
  });
}

test("a label that switches allocation on leaves it on", () => {
  const labels = '{networking.istio.io/enable-autoallocate-ip: "true"}';
  assert.equal(addressesOf({ name: "a", host: "a.example", labels })["a.example"]?.length, 2);
});

test("what the status says stays, and of two that claim an address the older one keeps it", () => {
  const claim = (host: string) => `{addresses: [{host: ${host}, value: 240.240.7.7}]}`;
  const found = addressesOf(
    { name: "young", host: "young.example", status: claim("young.example"), created: "2026-02-01" },
    { name: "old", host: "old.example", status: claim("old.example") },
  );
  assert.deepEqual(found["old.example"], ["240.240.7.7"]);
  assert.match(String(found["young.example"]), /^240\.240\.(?!7\.7,)/);
});

test("an address in the status that is none, or of a host that is gone, counts for nothing", () => {
  const status = "{addresses: [{host: a.example, value: nonsense}, {host: b.example, value: 240.240.9.9}, 7]}";
  assert.match(String(addressesOf({ name: "a", host: "a.example", status })["a.example"]), /^240\.240\.(?!9\.9,)/);
});
