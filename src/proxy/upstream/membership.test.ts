// When changes of endpoints are taken over, who may be asked for by name, and where ORIGINAL_DST clusters go.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "#base/time/clock.ts";
import { plainEndpointSet } from "../config/cluster.ts";
import { defaultLoadBalancing, type LoadBalancingConfig } from "../config/load-balancing.ts";
import { byTurns, endpointConfig } from "../listener/testing/data-path.ts";
import { EventLoop } from "../transport/event-loop.ts";
import { balancerCounters } from "./balance/balancer.ts";
import { anyHost, type ChoiceContext } from "./balance/choice.ts";
import { Membership } from "./membership.ts";
import { OriginalDestinations } from "./original-destinations.ts";

function members(config: LoadBalancingConfig = byTurns) {
  const clock = new ManualClock(1000);
  const loop = new EventLoop({ clock, now: () => clock.now() });
  const membership = new Membership({
    loop,
    config,
    activeRequests: () => 0,
    keeps: () => false,
    onAdded: () => {},
    onRemoved: () => {},
    onRebalanced: () => {},
    peers: () => null,
  });
  const chosen = (context: Partial<ChoiceContext> = {}): string =>
    [...new Set(Array.from({ length: 20 }, () => membership.choose({ ...anyHost, ...context })?.config.port ?? "none"))]
      .sort()
      .join();
  return { clock, membership, chosen };
}

test("members that come or go are taken over at once, changes of health within a second together", () => {
  const { clock, membership, chosen } = members({ ...byTurns, mergeWindowMs: 1000 });
  membership.replace(plainEndpointSet("c", [endpointConfig(80), endpointConfig(81)]));
  assert.equal(chosen(), "80,81");
  membership.replace(plainEndpointSet("c", [endpointConfig(80), endpointConfig(81), endpointConfig(82)]));
  assert.equal(chosen(), "80,81,82");
  const sick = [endpointConfig(80), endpointConfig(81, { health: "unhealthy" }), endpointConfig(82)];
  membership.replace(plainEndpointSet("c", sick));
  assert.equal(chosen(), "80,81,82");
  clock.advance(999);
  assert.equal(chosen(), "80,81,82");
  clock.advance(1);
  assert.equal(chosen(), "80,82");
  // Long after the last change the next one counts at once.
  clock.advance(5000);
  membership.replace(plainEndpointSet("c", [endpointConfig(80), endpointConfig(81), endpointConfig(82)]));
  assert.equal(chosen(), "80,81,82");
});

test("without a merge window every change counts at once", () => {
  const { membership, chosen } = members(byTurns);
  membership.replace(plainEndpointSet("c", [endpointConfig(80), endpointConfig(81)]));
  membership.replace(plainEndpointSet("c", [endpointConfig(80, { health: "unhealthy" }), endpointConfig(81)]));
  assert.equal(chosen(), "81");
});

test("a host that is asked for by name is given while its state allows", () => {
  const { membership, chosen } = members();
  const asked = { overrideHost: { address: "127.0.0.1:82", isStrict: false } };
  const withHealth = (health: "healthy" | "degraded" | "draining" | "unhealthy"): void =>
    membership.replace(plainEndpointSet("c", [endpointConfig(81), endpointConfig(82, { health })]));
  withHealth("healthy");
  assert.equal(chosen(asked), "82");
  withHealth("degraded");
  assert.equal(chosen(asked), "82");
  withHealth("draining");
  assert.notEqual(chosen(asked), "82");
  membership.configure({ ...byTurns, overrideHostStatuses: new Set(["draining"]) });
  assert.equal(chosen(asked), "82");
  withHealth("unhealthy");
  assert.equal(chosen(asked), "81");
  assert.equal(chosen({ overrideHost: { address: "127.0.0.1:82", isStrict: true } }), "none");
  assert.equal(chosen({ overrideHost: { address: "10.0.0.1:1", isStrict: false } }), "81");
});

test("a new balancing policy is used for the same endpoints", () => {
  const { membership, chosen } = members();
  membership.replace(
    plainEndpointSet("c", [endpointConfig(80, { metadata: { v: "1" } }), endpointConfig(81, { metadata: { v: "2" } })]),
  );
  const before = membership.get("127.0.0.1:80");
  const subsets = {
    selectors: [{ keys: ["v"], isSingleHost: false, fallback: null, fallbackKeys: [] }],
    fallback: "any_endpoint",
    defaultSubset: {},
    isLocalityWeightAware: false,
    scalesLocalityWeight: false,
    panicModeAny: false,
    listAsAny: false,
    usesFallbackList: false,
    allowsRedundantKeys: false,
  } as const;
  membership.configure({ ...defaultLoadBalancing, subsets });
  assert.equal(chosen({ metadataMatch: { v: "2" } }), "81");
  assert.equal(chosen(), "80,81");
  assert.equal(membership.get("127.0.0.1:80"), before);
});

test("ORIGINAL_DST goes where the connection went, or where a header says, and forgets who is not used", () => {
  const clock = new ManualClock(1000);
  const loop = new EventLoop({ clock, now: () => clock.now() });
  const counters = balancerCounters();
  const destination = { ip: "10.0.0.1", port: 80 };
  const headers = (value: string): ChoiceContext["headers"] => ({
    get: (name) => (name === "x-where" ? value : undefined),
  });
  const plain = new OriginalDestinations(loop, counters, { headerName: null, portOverride: 0 }, 5000);
  assert.equal(plain.choose({ ...anyHost, destination, headers: headers("10.0.0.2:81") })?.config.key, "10.0.0.1:80");
  assert.equal(plain.choose(anyHost), null);
  const byHeader = new OriginalDestinations(loop, counters, { headerName: "x-where", portOverride: 0 }, 5000);
  const key = (value: string): string | undefined =>
    byHeader.choose({ ...anyHost, destination, headers: headers(value) })?.config.key;
  assert.equal(key("10.0.0.2:81"), "10.0.0.2:81");
  assert.equal(key("[fd00::2]:81"), "[fd00::2]:81");
  for (const bad of ["", "10.0.0.2", "example.com:80", "10.0.0.2:0", "10.0.0.2:70000", "10.0.0.999:80"]) {
    assert.equal(key(bad), "10.0.0.1:80", bad);
  }
  assert.equal(counters.invalidOriginalDestinations, 6);
  byHeader.configure({ headerName: "x-where", portOverride: 99 }, 5000);
  assert.equal(key("10.0.0.2:81"), "10.0.0.2:99");

  const busy = plain.choose({ ...anyHost, destination });
  if (busy !== null) busy.activeRequests = 1;
  plain.choose({ ...anyHost, destination: { ip: "10.0.0.3", port: 80 } });
  clock.advance(6000);
  assert.deepEqual(
    plain.endpoints.map((it) => it.config.key),
    ["10.0.0.1:80"],
  );
  if (busy !== null) busy.activeRequests = 0;
  clock.advance(6000);
  assert.deepEqual(plain.endpoints, []);
  plain.destroy();
  byHeader.destroy();
});
