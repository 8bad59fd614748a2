import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeCluster } from "./decode-cluster.ts";
import { clusterConfig, clusterOf, refusalOf } from "./testing/resources.ts";

test("outlier detection has Envoy's defaults", () => {
  assert.equal(clusterConfig("{ name: c, type: STATIC }").outlierDetection, null);
  assert.deepEqual(clusterConfig("{ name: c, type: STATIC, outlier_detection: {} }").outlierDetection, {
    consecutive5xx: 5,
    consecutiveGatewayFailure: 5,
    consecutiveLocalOriginFailure: 5,
    splitsLocalOrigin: false,
    intervalMs: 10_000,
    baseEjectionMs: 30_000,
    maxEjectionMs: 300_000,
    maxEjectionJitterMs: 0,
    maxEjectionPercent: 10,
    alwaysEjectsOneHost: false,
    successRateMinimumHosts: 5,
    successRateRequestVolume: 100,
    successRateStdevFactor: 1900,
    failurePercentageThreshold: 85,
    failurePercentageMinimumHosts: 5,
    failurePercentageRequestVolume: 50,
    healthCheckUnejects: true,
    enforcing: {
      consecutive5xx: 100,
      consecutiveGatewayFailure: 0,
      consecutiveLocalOriginFailure: 100,
      successRate: 100,
      localOriginSuccessRate: 100,
      failurePercentage: 0,
      localOriginFailurePercentage: 0,
    },
  });
});

test("the longest ejection is never shorter than the base time", () => {
  const yaml = "{ name: c, type: STATIC, outlier_detection: { base_ejection_time: 400s } }";
  assert.equal(clusterConfig(yaml).outlierDetection?.maxEjectionMs, 400_000);
});

test("percentages above 100 and times of 0 are refused", () => {
  const refusal = (yaml: string): string =>
    refusalOf(decodeCluster(clusterOf(`{ name: c, type: STATIC, outlier_detection: { ${yaml} } }`)));
  assert.match(refusal("max_ejection_percent: 101"), /outlier_detection.max_ejection_percent: 101 is above 100/);
  assert.match(refusal("enforcing_consecutive_5xx: 200"), /enforcing_consecutive_5xx: 200 is above 100/);
  assert.match(refusal("interval: 0s"), /interval: is not above 0/);
  assert.match(refusal("monitors: [{ name: x }]"), /a monitor extension is not supported/);
});
