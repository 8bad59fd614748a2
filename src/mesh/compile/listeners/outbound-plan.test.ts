import assert from "node:assert/strict";
import { test } from "node:test";
import { OutboundPlan, type PlannedTcpChain } from "./outbound-plan.ts";

const origin = { kind: "Service", namespace: "default", name: "a" };
const place = { bind: "0.0.0.0", port: 443, bindToPort: false, locked: false };

function chain(serverNames: string[], destinationRanges: string[] = []): PlannedTcpChain {
  return { serverNames, destinationRanges, choice: { destinations: [], statPrefix: "a" }, origins: [origin] };
}

test("a server name belongs to the chain that had it first", () => {
  const plan = new OutboundPlan();
  plan.addTcp(place, [chain(["a", "b"]), chain(["b"]), chain(["b", "c"]), chain([]), chain([])], false);
  plan.addTcp(place, [chain(["a"], ["10.0.0.0/8"]), chain([], ["10.0.0.0/8"]), chain([], ["10.0.0.0/8"])], false);
  const [listener] = plan.listeners();
  assert.deepEqual(
    listener?.tcp.map(({ serverNames, destinationRanges }) => [...serverNames, ...destinationRanges].join()),
    ["a,b", "c", "", "a,10.0.0.0/8", "10.0.0.0/8"],
  );
});

test("a block of addresses belongs to the chain that had it first, however it is written", () => {
  const plan = new OutboundPlan();
  plan.addTcp(place, [chain([], ["40.1.2.3/29"]), chain([], ["40.1.2.4/29"]), chain([], ["40.1.2.8/29"])], false);
  plan.addTcp(place, [chain([], ["40.1.2.5/29", "50.0.0.0/8", "50.1.0.0/8"])], false);
  plan.addTcp(place, [chain([], ["1234:1f1:1::1/32"]), chain([], ["1234:1F1:2::2/32"])], false);
  assert.deepEqual(
    plan.listeners()[0]?.tcp.map(({ destinationRanges }) => destinationRanges.join()),
    ["40.1.2.3/29", "40.1.2.8/29", "50.0.0.0/8", "1234:1f1:1::1/32"],
  );
});

test("a port whose server speaks first is never sniffed", () => {
  const first = new OutboundPlan();
  first.addTcp(place, [chain([])], true);
  first.addHttp(place, { routeName: "443", grpcWeb: false }, origin);
  assert.equal(first.listeners()[0]?.http, undefined);
  const second = new OutboundPlan();
  second.addHttp(place, { routeName: "443", grpcWeb: false }, origin);
  second.addTcp(place, [chain([])], true);
  assert.deepEqual(second.listeners()[0]?.tcp, []);
});

test("a listener that a Sidecar named takes no others", () => {
  const plan = new OutboundPlan();
  plan.addHttp({ ...place, locked: true }, { routeName: "443", grpcWeb: false }, origin);
  plan.addTcp(place, [chain([])], false);
  assert.deepEqual(plan.listeners()[0]?.tcp, []);
});
