// What answers make of an endpoint and when it is asked again, with probes that answer as told.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Logger } from "#base/log/log.ts";
import { ManualClock } from "#base/time/clock.ts";
import { clusterConfig } from "../../config/testing/resources.ts";
import { endpointConfig } from "../../listener/testing/data-path.ts";
import { EventLoop } from "../../transport/event-loop.ts";
import { describeFlags } from "../balance/host.ts";
import { UpstreamEndpoint } from "../endpoint.ts";
import { HealthChecker } from "./health-checker.ts";
import { failure, type Probe, type ProbeAnswer, passed } from "./probe.ts";

/** `more` is what stands in the health check beside a timeout of 1 s, an interval of 5 s and thresholds 3 and 2. */
function checks(more = "") {
  const clock = new ManualClock(1_000_000);
  const loop = new EventLoop({ clock, now: () => clock.now(), random: () => 0.5 });
  const yaml = `timeout: 1s, interval: 5s, unhealthy_threshold: 3, healthy_threshold: 2, tcp_health_check: {}, ${more}`;
  const config = clusterConfig(`{ name: c, type: STATIC, health_checks: [{ ${yaml} }] }`).healthCheck;
  assert.ok(config);
  const log: string[] = [];
  const write = (message: string): void => void log.push(message);
  const logger: Logger = { error: write, warn: write, info: write, debug: () => {} };
  const asked: number[] = [];
  const events: string[] = [];
  let hasTraffic = true;
  let answered: ((answer: ProbeAnswer) => void) | null = null;
  let aborted = 0;
  const probe: Probe = {
    ask: (next) => {
      asked.push(clock.now() - 1_000_000);
      answered = next;
    },
    abort: () => aborted++,
    stop: () => {},
  };
  const checker = new HealthChecker({
    loop,
    log: logger,
    clusterName: "c",
    config,
    hasTraffic: () => hasTraffic,
    makeProbe: () => probe,
    onChange: (it) => events.push(describeFlags(it.healthFlags)),
    onPassed: () => {},
    onAllAnswered: () => events.push("all answered"),
  });
  const endpoint = new UpstreamEndpoint(endpointConfig(80), 0);
  checker.add(endpoint, true);
  const answer = (it: ProbeAnswer): string => {
    answered?.(it);
    return describeFlags(endpoint.healthFlags);
  };
  /** Waits for the next question and answers it. */
  const next = (it: ProbeAnswer): string => {
    const before = asked.length;
    for (let i = 0; i < 1000 && asked.length === before; i++) clock.advance(100);
    return answer(it);
  };
  return {
    clock,
    checker,
    endpoint,
    log,
    asked,
    events,
    answer,
    next,
    aborted: () => aborted,
    withoutTraffic: () => (hasTraffic = false),
  };
}

const failed = failure("failed", "it answered 500");
const refused = failure("refused", "it answered 404");

test("a new endpoint is not used before its first answer, which counts at once", () => {
  const { endpoint, answer, events, log, checker } = checks();
  assert.equal(describeFlags(endpoint.healthFlags), "/failed_active_hc/pending_active_hc");
  assert.equal(checker.isEveryoneAnswered, false);
  assert.equal(answer(passed), "healthy");
  assert.deepEqual(events, ["healthy", "all answered"]);
  assert.deepEqual(log, ["cluster c: 127.0.0.1:80 passes its health checks"]);
});

test("a first answer that fails leaves the endpoint out", () => {
  const { answer, log } = checks();
  assert.equal(answer(failed), "/failed_active_hc");
  assert.deepEqual(log, ["cluster c: 127.0.0.1:80 failed a health check: it answered 500"]);
});

test("it takes as many failures in a row as the threshold says, and as many passes to come back", () => {
  const { answer, next, log, endpoint } = checks();
  answer(passed);
  assert.equal(next(failed), "healthy");
  assert.equal(next(failed), "healthy");
  assert.equal(next(passed), "healthy");
  assert.equal(next(failed), "healthy");
  assert.equal(next(failed), "healthy");
  assert.equal(next(failed), "/failed_active_hc");
  assert.equal(endpoint.checks?.lastFailure, "it answered 500");
  assert.equal(next(passed), "/failed_active_hc");
  assert.equal(next(failed), "/failed_active_hc");
  assert.equal(next(passed), "/failed_active_hc");
  assert.equal(next(passed), "healthy");
  assert.deepEqual(log.slice(1), [
    "cluster c: 127.0.0.1:80 fails its health checks and is not used: it answered 500",
    "cluster c: 127.0.0.1:80 passes its health checks",
  ]);
});

test("an answer that is neither expected nor retriable makes unhealthy at once, no connection does not", () => {
  const { answer, next } = checks();
  answer(passed);
  assert.equal(next(failure("unreachable", "refused")), "healthy");
  assert.equal(next(refused), "/failed_active_hc");
});

test("no answer in time is a failure that is told apart", () => {
  const { answer, clock, endpoint, aborted, checker } = checks("unhealthy_edge_interval: 1s");
  answer(passed);
  clock.advance(5000);
  for (let i = 0; i < 3; i++) clock.advance(2000);
  assert.equal(aborted(), 3);
  assert.equal(describeFlags(endpoint.healthFlags), "/failed_active_hc/active_hc_timeout");
  assert.match(endpoint.checks?.lastFailure ?? "", /did not answer within 1000 ms/);
  assert.deepEqual([checker.counters.failures, checker.counters.networkFailures], [3, 3]);
});

test("a degraded endpoint is healthy and marked", () => {
  const { answer, next } = checks();
  assert.equal(answer(failure("degraded", "it says so")), "/degraded_active_hc");
  assert.equal(next(passed), "healthy");
});

test("an endpoint that asks to be taken out of rotation does not count any more, until it passes", () => {
  const { answer, next, endpoint, checker } = checks();
  answer(passed);
  endpoint.checks?.failAtOnce();
  assert.equal(describeFlags(endpoint.healthFlags), "/failed_active_hc/excluded_via_immediate_hc_fail");
  assert.equal(checker.counters.passiveFailures, 1);
  assert.equal(next(passed), "/failed_active_hc");
  assert.equal(next(passed), "healthy");
});

test("each state has its interval", () => {
  const { answer, next, asked } = checks(
    "unhealthy_interval: 20s, unhealthy_edge_interval: 1s, healthy_edge_interval: 2s",
  );
  answer(passed);
  next(failed);
  next(failed);
  next(failed);
  next(passed);
  next(passed);
  next(passed);
  const gaps = asked.map((at, i) => at - (asked[i - 1] ?? 0)).slice(1);
  // Healthy; failing but healthy still (twice); unhealthy; passing but unhealthy still; healthy.
  assert.deepEqual(gaps, [5000, 1000, 1000, 20_000, 2000, 5000]);
});

test("while the cluster carries no traffic, checks are rare", () => {
  const { answer, next, asked, withoutTraffic } = checks("no_traffic_interval: 10s, no_traffic_healthy_interval: 30s");
  withoutTraffic();
  answer(passed);
  next(failed);
  next(failed);
  assert.deepEqual(asked, [0, 30_000, 40_000]);
});

test("jitter moves the first check and every other one", () => {
  const { asked, clock, next } = checks("initial_jitter: 2s, interval_jitter: 3s, interval_jitter_percent: 20");
  assert.deepEqual(asked, []);
  clock.advance(1000);
  assert.deepEqual(asked, [1000]);
  next(passed);
  clock.advance(10_000);
  const { answer, asked: plain, next: more } = checks("interval_jitter: 3s, interval_jitter_percent: 20");
  answer(passed);
  more(passed);
  // 5000 + half of 20 % of 5000 + half of 3000.
  assert.deepEqual(plain, [0, 7000]);
});

test("every failure and success is logged where that is asked for", () => {
  const { answer, next, log } = checks("always_log_health_check_failures: true, always_log_health_check_success: true");
  answer(passed);
  next(passed);
  next(failed);
  assert.deepEqual(log, [
    "cluster c: 127.0.0.1:80 passes its health checks",
    "cluster c: 127.0.0.1:80 passed a health check",
    "cluster c: 127.0.0.1:80 failed a health check: it answered 500",
  ]);
});

test("an endpoint that leaves is not asked any more, and is waited for no longer", () => {
  const { checker, endpoint, asked, clock, events } = checks();
  checker.remove(endpoint);
  assert.deepEqual(events, ["all answered"]);
  assert.equal(endpoint.checks, null);
  assert.equal(describeFlags(endpoint.healthFlags), "healthy");
  clock.advance(60_000);
  assert.equal(asked.length, 1);
});

test("an endpoint whose checks are switched off is used as it is", () => {
  const { checker } = checks();
  const other = new UpstreamEndpoint(
    endpointConfig(81, { healthCheck: { host: "", port: 0, hostname: "", isDisabled: true } }),
    0,
  );
  checker.add(other, true);
  assert.equal(other.checks, null);
  assert.equal(describeFlags(other.healthFlags), "healthy");
});
