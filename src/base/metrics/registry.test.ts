import assert from "node:assert/strict";
import { test } from "node:test";
import { MetricRegistry } from "./registry.ts";

test("counters and gauges are exposed with their labels escaped", () => {
  const registry = new MetricRegistry();
  const requests = registry.counter("requests_total", "Requests.", ["path", "code"]);
  requests.labels('a"b\\c\nd', "200").increment();
  requests.labels('a"b\\c\nd', "200").increment(2);
  registry.gauge("up", "Whether it is up.").labels().set(1);
  assert.equal(
    registry.expose(),
    '# HELP requests_total Requests.\n# TYPE requests_total counter\nrequests_total{path="a\\"b\\\\c\\nd",code="200"} 3\n' +
      "# HELP up Whether it is up.\n# TYPE up gauge\nup 1\n",
  );
});

test("histogram buckets are cumulative and a value on a bound falls into that bucket", () => {
  const registry = new MetricRegistry();
  const series = registry.histogram("seconds", "Time.", ["op"], [1, 2]).labels("x");
  for (const value of [0.5, 1, 1.5, 2, 3]) series.observe(value);
  assert.match(registry.expose(), /seconds_bucket\{op="x",le="1"\} 2\nseconds_bucket\{op="x",le="2"\} 4\n/);
  assert.match(registry.expose(), /le="\+Inf"\} 5\nseconds_sum\{op="x"\} 8\nseconds_count\{op="x"\} 5\n/);
});

test("collectors run before an exposition and a removed series is gone", () => {
  const registry = new MetricRegistry();
  const gauge = registry.gauge("connected", "Connections.", ["version"]);
  registry.onCollect(() => gauge.labels("1").set(7));
  assert.match(registry.expose(), /connected\{version="1"\} 7/);
  const other = new MetricRegistry();
  const family = other.counter("n", "N.", ["a"]);
  family.labels("1").increment();
  family.remove("1");
  assert.equal(other.expose(), "");
});
