import assert from "node:assert/strict";
import { test } from "node:test";
import { type CircuitBreakerThresholds, defaultThresholds } from "../config/cluster.ts";
import { decodeCluster } from "../config/decode-cluster.ts";
import { clusterConfig, clusterOf, refusalOf } from "../config/testing/resources.ts";
import { CircuitBreaker, mostRetries } from "./circuit-breaker.ts";
import { clusterCounters } from "./cluster-counters.ts";

function breaker(limits: Partial<CircuitBreakerThresholds>, priority: "default" | "high" = "default") {
  const counters = clusterCounters();
  return { counters, it: new CircuitBreaker(priority, { ...defaultThresholds, ...limits }, counters) };
}

test("each limit refuses what is one too many, by name, and counts it", () => {
  const { it, counters } = breaker({ maxRequests: 1, maxPendingRequests: 2, maxConnections: 3, maxRetries: 0 });
  assert.equal(it.takeRequest(), null);
  assert.equal(it.takeRequest()?.words, "the circuit breaker's max_requests (1) is reached");
  it.giveRequest();
  assert.equal(it.takeRequest(), null);
  it.takePendingRequest();
  it.takePendingRequest();
  assert.equal(it.takePendingRequest()?.words, "the circuit breaker's max_pending_requests (2) is reached");
  for (let i = 0; i < 3; i++) it.takeConnection();
  assert.equal(it.refuseConnection(0)?.words, "the circuit breaker's max_connections (3) is reached");
  assert.equal(it.takeRetry(), false);
  assert.deepEqual(
    [counters.overflows, counters.connectionOverflows, counters.retryOverflows, counters.requestsTotal],
    [2, 1, 1, 2],
  );
});

test("the limit per host counts the host's own connections", () => {
  const { it } = breaker({ maxConnectionsPerHost: 2 });
  assert.equal(it.refuseConnection(1), null);
  assert.equal(it.refuseConnection(2)?.words, "the circuit breaker's per-host max_connections (2) is reached");
});

test("a retry budget grows with the requests and never falls below its least", () => {
  const { it } = breaker({ maxRetries: 100, retryBudget: { percent: 25, minConcurrency: 2 } });
  assert.equal(mostRetries(it.limits, it.requests), 2);
  for (let i = 0; i < 40; i++) it.takeRequest();
  assert.equal(mostRetries(it.limits, it.requests), 10);
  for (let i = 0; i < 10; i++) assert.equal(it.takeRetry(), true);
  assert.equal(it.takeRetry(), false);
  it.giveRetry();
  assert.equal(it.takeRetry(), true);
});

test("the words say which priority's limit it was", () => {
  const { it } = breaker({ maxRequests: 0 }, "high");
  assert.match(it.takeRequest()?.words ?? "", /max_requests for high priority \(0\)/);
});

test("thresholds are read for both priorities, the first of each counting", () => {
  const { circuitBreakers } = clusterConfig(`
name: c
type: STATIC
circuit_breakers:
  thresholds:
  - { max_connections: 1, max_pending_requests: 2, max_requests: 3, max_retries: 4, track_remaining: true, max_connection_pools: 5 }
  - { max_connections: 99 }
  - { priority: HIGH, retry_budget: { budget_percent: { value: 50 } } }
  per_host_thresholds: [{ max_connections: 7 }]
`);
  assert.deepEqual(circuitBreakers.default, {
    maxConnections: 1,
    maxPendingRequests: 2,
    maxRequests: 3,
    maxRetries: 4,
    retryBudget: null,
    maxConnectionPools: 5,
    maxConnectionsPerHost: 7,
    tracksRemaining: true,
  });
  assert.deepEqual(circuitBreakers.high, { ...defaultThresholds, retryBudget: { percent: 50, minConcurrency: 3 } });
  const refused = (yaml: string): string =>
    refusalOf(decodeCluster(clusterOf(`{ name: c, type: STATIC, circuit_breakers: ${yaml} }`)));
  assert.match(
    refused("{ per_host_thresholds: [{ max_requests: 1 }] }"),
    /per_host_thresholds\[0\]: a limit per host other/,
  );
  assert.match(
    refused("{ thresholds: [{ retry_budget: { budget_percent: { value: 101 } } }] }"),
    /101 is not a percentage/,
  );
});
