// Outlier detection with a clock and draws of its own: when endpoints go, why, for how long, and when they come back.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Logger } from "#base/log/log.ts";
import { ManualClock } from "#base/time/clock.ts";
import { clusterConfig } from "../../config/testing/resources.ts";
import { endpointConfig } from "../../listener/testing/data-path.ts";
import { EventLoop } from "../../transport/event-loop.ts";
import { describeFlags } from "../balance/host.ts";
import { UpstreamEndpoint } from "../endpoint.ts";
import { describeEjection } from "./ejection.ts";
import { OutlierDetector } from "./outlier-detector.ts";

/** `yaml` is what stands in `outlier_detection`. */
function detection(yaml: string, endpointCount = 10) {
  const clock = new ManualClock(1_000_000);
  let draw = 0;
  const loop = new EventLoop({ clock, now: () => clock.now(), random: () => draw });
  const config = clusterConfig(`{ name: c, type: STATIC, outlier_detection: { ${yaml} } }`).outlierDetection;
  assert.ok(config);
  const log: string[] = [];
  const changed: UpstreamEndpoint[] = [];
  const told: string[] = [];
  const write = (message: string): void => void log.push(message);
  const logger: Logger = { error: write, warn: write, info: write, debug: () => {} };
  const detector = new OutlierDetector({
    loop,
    log: logger,
    clusterName: "c",
    config,
    onChange: (endpoint) => changed.push(endpoint),
    onEjected: (endpoint, { reason }) => void told.push(`${endpoint.config.key}: ${reason}`),
  });
  const endpoints = Array.from({ length: endpointCount }, (_, i) => new UpstreamEndpoint(endpointConfig(80 + i), 0));
  for (const endpoint of endpoints) detector.add(endpoint);
  const answer = (at: number, status: number, times = 1): void => {
    for (let i = 0; i < times; i++) endpoints[at]?.outlier?.onStatus(status);
  };
  const fail = (at: number, times = 1, isTimeout = false): void => {
    for (let i = 0; i < times; i++) endpoints[at]?.outlier?.onLocalFailure(isTimeout);
  };
  const ejected = (): number[] => endpoints.flatMap((it, i) => ((it.healthFlags & 2) === 0 ? [] : [i]));
  return {
    clock,
    detector,
    endpoints,
    log,
    changed,
    told,
    answer,
    fail,
    ejected,
    setDraw: (to: number) => (draw = to),
  };
}

test("five 5xx in a row eject an endpoint; anything else in between begins anew", () => {
  const { answer, ejected, detector, endpoints, changed, log, clock } = detection("");
  answer(0, 500, 4);
  answer(0, 404);
  answer(0, 599, 4);
  assert.deepEqual(ejected(), []);
  answer(0, 503);
  assert.deepEqual(ejected(), [0]);
  assert.equal(describeFlags(endpoints[0]?.healthFlags ?? 0), "/failed_outlier_check");
  assert.deepEqual(changed, [endpoints[0]]);
  assert.equal(detector.counters.ejectionsActive, 1);
  assert.equal(detector.counters.enforced.CONSECUTIVE_5XX, 1);
  assert.deepEqual(log, ["cluster c: 127.0.0.1:80 is ejected for 30 s because 5 responses in a row were 5xx"]);
  clock.advance(4000);
  const ejection = endpoints[0]?.outlier?.ejection;
  assert.ok(ejection);
  assert.equal(
    describeEjection(ejection, clock.now()),
    "ejected 4 s ago because 5 responses in a row were 5xx, back in 26 s",
  );
});

test("an ejection ends at the first interval after its time, and is longer every time while it is earned", () => {
  const { answer, ejected, clock, endpoints, log } = detection("");
  answer(0, 500, 5);
  clock.advance(29_999);
  assert.deepEqual(ejected(), [0]);
  clock.advance(1);
  assert.deepEqual(ejected(), []);
  assert.match(log[1] ?? "", /127.0.0.1:80 is no longer ejected: its time is over/);
  assert.equal(endpoints[0]?.usableSince, clock.now());
  answer(0, 500, 5);
  assert.equal((endpoints[0]?.outlier?.ejection?.until ?? 0) - clock.now(), 60_000);
  clock.advance(60_000);
  // It behaves for two intervals: the next time is the base time again.
  clock.advance(20_000);
  answer(0, 500, 5);
  assert.equal((endpoints[0]?.outlier?.ejection?.until ?? 0) - clock.now(), 30_000);
  assert.equal(endpoints[0]?.outlier?.ejections, 3);
});

test("the time is bounded and jitter is added to it", () => {
  const settings = "base_ejection_time: 100s, max_ejection_time: 150s, max_ejection_time_jitter: 10s, interval: 1s";
  const { answer, clock, endpoints, setDraw } = detection(settings);
  setDraw(0.5);
  const eject = (): number => {
    answer(0, 500, 5);
    const time = (endpoints[0]?.outlier?.ejection?.until ?? 0) - clock.now();
    clock.advance(time);
    return time;
  };
  assert.deepEqual([eject(), eject(), eject()], [105_000, 155_000, 155_000]);
});

test("gateway failures have a limit of their own, which acts only when it is enforced", () => {
  const off = detection("consecutive_gateway_failure: 2");
  off.answer(0, 502, 2);
  assert.deepEqual(off.ejected(), []);
  assert.equal(off.detector.counters.detected.CONSECUTIVE_GATEWAY_FAILURE, 1);
  assert.equal(off.detector.counters.enforced.CONSECUTIVE_GATEWAY_FAILURE, 0);
  const on = detection("consecutive_gateway_failure: 2, enforcing_consecutive_gateway_failure: 100");
  on.answer(0, 502);
  on.answer(0, 500);
  on.answer(0, 504);
  assert.deepEqual(on.ejected(), []);
  on.answer(0, 503);
  assert.deepEqual(on.ejected(), [0]);
  assert.match(on.log[0] ?? "", /2 responses in a row were 502, 503 or 504/);
});

test("an enforcing percentage lets a part of the ejections happen", () => {
  const { answer, ejected, setDraw } = detection("enforcing_consecutive_5xx: 30");
  setDraw(0.31);
  answer(0, 500, 5);
  assert.deepEqual(ejected(), []);
  setDraw(0.29);
  answer(0, 500, 5);
  assert.deepEqual(ejected(), [0]);
});

test("limits of 0 never act, as Istio switches them off", () => {
  const { answer, ejected } = detection("consecutive_5xx: 0, enforcing_consecutive_5xx: 0");
  answer(0, 500, 100);
  assert.deepEqual(ejected(), []);
});

test("failures of this side count as 503 and 504, unless they are told apart", () => {
  const together = detection("consecutive_gateway_failure: 3, enforcing_consecutive_gateway_failure: 100");
  together.fail(0);
  together.fail(0, 1, true);
  together.answer(0, 502);
  assert.deepEqual(together.ejected(), [0]);

  const apart = detection("split_external_local_origin_errors: true, consecutive_local_origin_failure: 3");
  apart.fail(0, 2);
  apart.endpoints[0]?.outlier?.onConnected();
  apart.fail(0, 2);
  apart.answer(0, 500, 4);
  assert.deepEqual(apart.ejected(), []);
  apart.fail(0);
  assert.deepEqual(apart.ejected(), [0]);
  assert.match(apart.log[0] ?? "", /3 attempts in a row found no connection or no answer in time/);
});

test("for bytes a connection is a success and none is a failure", () => {
  const { endpoints, fail, ejected } = detection("");
  fail(0, 4);
  endpoints[0]?.outlier?.onTcpConnected();
  fail(0, 4);
  assert.deepEqual(ejected(), []);
  fail(0);
  assert.deepEqual(ejected(), [0]);
});

test("no more than the highest percentage is ejected; one endpoint always may be, where that is configured", () => {
  const ten = detection("");
  ten.answer(0, 500, 5);
  ten.answer(1, 500, 5);
  assert.deepEqual(ten.ejected(), [0]);
  assert.equal(ten.detector.counters.ejectionsOverflow, 1);
  assert.match(
    ten.log[1] ?? "",
    /127.0.0.1:81 stays although .* 20 % of the endpoints would be ejected and 10 % may be/,
  );
  const three = detection("", 3);
  three.answer(0, 500, 5);
  assert.deepEqual(three.ejected(), []);
  const always = detection("always_eject_one_host: true", 3);
  always.answer(0, 500, 5);
  always.answer(1, 500, 5);
  assert.deepEqual(always.ejected(), [0]);
  const all = detection("max_ejection_percent: 100", 3);
  for (const at of [0, 1, 2]) all.answer(at, 500, 5);
  assert.deepEqual(all.ejected(), [0, 1, 2]);
});

test("an endpoint whose success rate is far below the others' is ejected at the interval", () => {
  const { answer, ejected, clock, detector, endpoints, log } = detection("consecutive_5xx: 0", 10);
  for (let at = 0; at < 9; at++) answer(at, 200, 100);
  answer(9, 200, 60);
  answer(9, 500, 40);
  assert.deepEqual(ejected(), []);
  clock.advance(10_000);
  assert.deepEqual(ejected(), [9]);
  assert.equal(endpoints[9]?.outlier?.answers.rate, 60);
  assert.equal(endpoints[0]?.outlier?.answers.rate, 100);
  // Mean 96, standard deviation 12: 96 - 1.9 × 12.
  assert.ok(Math.abs(detector.answers.threshold - 73.2) < 0.01);
  assert.equal(detector.counters.enforced.SUCCESS_RATE, 1);
  assert.match(log[0] ?? "", /60 % of its requests succeeded where the average is 96 % and 73 % the least/);
});

test("success rates need enough hosts with enough requests", () => {
  const few = detection("consecutive_5xx: 0", 10);
  for (let at = 0; at < 4; at++) few.answer(at, at === 0 ? 500 : 200, 100);
  few.answer(5, 500, 99);
  few.clock.advance(10_000);
  assert.deepEqual(few.ejected(), []);
  assert.equal(few.detector.answers.threshold, -1);
  // 50 requests are enough for the failure percentage, so the rate is shown.
  assert.equal(few.endpoints[5]?.outlier?.answers.rate, 0);
  // The next interval has no traffic: nothing is known of it.
  few.clock.advance(10_000);
  assert.equal(few.endpoints[5]?.outlier?.answers.rate, -1);
});

test("an endpoint that fails more than a percentage is ejected, where that is enforced", () => {
  const settings = "consecutive_5xx: 0, enforcing_success_rate: 0, enforcing_failure_percentage: 100";
  const { answer, ejected, clock, log } = detection(settings);
  for (let at = 0; at < 6; at++) answer(at, 200, 50);
  answer(6, 200, 8);
  answer(6, 500, 42);
  answer(7, 200, 7);
  answer(7, 500, 43);
  clock.advance(10_000);
  assert.deepEqual(ejected(), [7]);
  assert.match(log[0] ?? "", /86 % of its requests failed in 10 s/);
});

test("own failures have rates of their own", () => {
  const { endpoints, fail, ejected, clock, detector } = detection(
    "split_external_local_origin_errors: true, consecutive_local_origin_failure: 0",
  );
  for (const endpoint of endpoints) for (let i = 0; i < 100; i++) endpoint.outlier?.onConnected();
  fail(3, 100);
  clock.advance(10_000);
  assert.deepEqual(ejected(), [3]);
  assert.equal(detector.counters.enforced.SUCCESS_RATE_LOCAL_ORIGIN, 1);
  assert.equal(endpoints[3]?.outlier?.connects.rate, 50);
  assert.equal(endpoints[3]?.outlier?.answers.rate, -1);
});

test("a health check that succeeds brings an endpoint back, unless that is switched off", () => {
  const on = detection("");
  on.answer(0, 500, 5);
  on.detector.onHealthCheckPassed(on.endpoints[0] as UpstreamEndpoint);
  assert.deepEqual(on.ejected(), []);
  const off = detection("successful_active_health_check_uneject_host: false");
  off.answer(0, 500, 5);
  off.detector.onHealthCheckPassed(off.endpoints[0] as UpstreamEndpoint);
  assert.deepEqual(off.ejected(), [0]);
});

test("an endpoint that leaves is not counted any more, and nothing is held against one that comes again", () => {
  const { answer, detector, endpoints, ejected } = detection("");
  answer(0, 500, 5);
  const gone = endpoints[0] as UpstreamEndpoint;
  detector.remove(gone);
  assert.equal(detector.counters.ejectionsActive, 0);
  assert.deepEqual(ejected(), []);
  assert.equal(gone.outlier, null);
});

test("an ejection is told to other threads, and one of theirs is taken over until its time is over", () => {
  const own = detection("");
  own.answer(0, 500, 5);
  assert.deepEqual(own.told, ["127.0.0.1:80: 5 responses in a row were 5xx"]);
  const other = detection("max_ejection_percent: 10");
  const ejection = own.endpoints[0]?.outlier?.ejection;
  assert.ok(ejection);
  other.detector.adopt("127.0.0.1:80", ejection);
  other.detector.adopt("127.0.0.1:80", ejection);
  other.detector.adopt("10.9.9.9:1", ejection);
  assert.deepEqual([other.ejected(), other.told, other.changed.length], [[0], [], 1]);
  assert.equal(other.detector.counters.enforced.CONSECUTIVE_5XX, 0, "it is counted where it was found");
  other.answer(1, 500, 5);
  assert.deepEqual(other.ejected(), [0], "the highest percentage is that of all threads");
  other.clock.advance(30_000);
  assert.deepEqual(other.ejected(), []);
  assert.equal(other.detector.counters.ejectionsActive, 0);
});

test("without traffic nobody looks at the endpoints, and stopping brings everything back", () => {
  const { clock, detector, answer, ejected, changed } = detection("");
  assert.equal(detector.isWatching, false);
  answer(0, 200);
  assert.equal(detector.isWatching, true);
  clock.advance(20_000);
  assert.equal(detector.isWatching, false);
  answer(0, 500, 5);
  detector.stop();
  assert.deepEqual(ejected(), []);
  assert.equal(changed.length, 2);
});
