import assert from "node:assert/strict";
import { test } from "node:test";
import { Histogram } from "../stats/histogram.ts";
import { histogramStat, type StatValue } from "../stats/stats.ts";
import { histogramSeries, histogramsJson, histogramText } from "./histogram-text.ts";
import { prometheusStats } from "./prometheus-text.ts";

function stat(name: string, early: readonly number[], late: readonly number[] = []): StatValue {
  const histogram = new Histogram();
  for (const value of early) histogram.record(value, 1000);
  for (const value of late) histogram.record(value, 6000);
  return histogramStat(name, histogram.value(10_000));
}

test("percentiles stand in one line, of the last interval and since the start", () => {
  assert.equal(
    histogramText(stat("rq_time", [1, 2], [3]), "none"),
    "rq_time: P0(3,1) P25(3.025,1.075) P50(3.05,2.05) P75(3.075,3.025) P90(3.09,3.07) P95(3.095,3.085) P99(3.099,3.097) " +
      "P99.5(3.0995,3.0985) P99.9(3.0999,3.0997) P100(3.1,3.1)\n",
  );
  assert.match(histogramText(stat("x", [5]), "none"), /^x: P0\(nan,5\) P25\(nan,5\.025\)/);
  assert.equal(histogramText(histogramStat("x", null), "cumulative"), "x: No recorded values\n");
});

test("buckets are cumulative, disjoint or as they were recorded", () => {
  const it = stat("x", [1, 7], [7, 2000]);
  assert.match(
    histogramText(it, "cumulative"),
    /^x: B0\.5\(0,0\) B1\(0,1\) B5\(0,1\) B10\(1,3\) .*B2500\(2,4\) .*B3\.6e\+06\(2,4\)\n$/,
  );
  assert.match(
    histogramText(it, "disjoint"),
    /^x: B0\.5\(0,0\) B1\(0,1\) B5\(0,0\) B10\(1,2\) .*B2500\(1,1\) B5000\(0,0\)/,
  );
  assert.match(
    histogramText(it, "detailed"),
    /^x:\n {2}totals=1,0\.1:1, 7,0\.1:2, 2000,100:1\n {2}intervals=7,0\.1:1, 2000,100:1\n {2}summary=P0/,
  );
});

test("the JSON holds all histograms in one element", () => {
  const two = [stat("a", [1]), histogramStat("b", null)];
  const plain = histogramsJson(two, "none") as {
    histograms: { supported_quantiles: number[]; computed_quantiles: { name: string; values: unknown[] }[] };
  };
  assert.equal(plain.histograms.supported_quantiles.length, 10);
  assert.deepEqual(plain.histograms.computed_quantiles[0]?.values[9], { cumulative: 1.1, interval: null });
  assert.deepEqual(plain.histograms.computed_quantiles[1]?.values[0], { cumulative: null, interval: null });
  const buckets = histogramsJson(two, "cumulative") as { histograms: { name: string; buckets: unknown[] }[] };
  assert.deepEqual(buckets.histograms[0]?.buckets[1], { upper_bound: 1, interval: 0, cumulative: 1 });
  const details = histogramsJson(two, "detailed") as { histograms: { details: { totals: unknown }[] } };
  assert.deepEqual(details.histograms.details[0]?.totals, [{ lower_bound: 1, width: 0.1, count: 1 }]);
  assert.equal(histogramsJson([{ name: "c", kind: "counter", value: 1 }], "none"), null);
});

test("Prometheus gets cumulative buckets, sum and count", () => {
  const { histogram } = stat("x", [1, 7, 5_000_000]);
  const lines = histogramSeries("envoy_x", 'a="b"', histogram ?? null).split("\n");
  assert.equal(lines[1], 'envoy_x_bucket{a="b",le="1"} 1');
  assert.equal(lines[3], 'envoy_x_bucket{a="b",le="10"} 2');
  assert.deepEqual(lines.slice(18, 22), [
    'envoy_x_bucket{a="b",le="3.6e+06"} 2',
    'envoy_x_bucket{a="b",le="+Inf"} 3',
    'envoy_x_sum{a="b"} 5000008',
    'envoy_x_count{a="b"} 3',
  ]);
});

test("places in names become labels, as Envoy's tags", () => {
  const counter = (name: string): StatValue => ({ name, kind: "counter", value: 1 });
  const cluster = "outbound|80||a.b.svc.cluster.local";
  const text = prometheusStats(
    [
      counter(`cluster.${cluster}.upstream_rq_503`),
      counter(`cluster.${cluster}.upstream_rq_5xx`),
      counter(`cluster.${cluster}.circuit_breakers.default.cx_open`),
      counter("cluster.short.upstream_rq_503"),
      counter("listener.0.0.0.0_80.downstream_cx_total"),
      counter("http.outbound_0.0.0.0_80.downstream_rq_2xx"),
      counter("http.in.rbac.allowed"),
      counter("server.uptime"),
    ],
    [cluster, "short"],
  );
  assert.deepEqual(
    text.split("\n").filter((line) => line !== "" && !line.startsWith("#")),
    [
      `envoy_cluster_upstream_rq{envoy_response_code="503",envoy_cluster_name="${cluster}"} 1`,
      'envoy_cluster_upstream_rq{envoy_response_code="503",envoy_cluster_name="short"} 1',
      `envoy_cluster_upstream_rq_xx{envoy_response_code_class="5",envoy_cluster_name="${cluster}"} 1`,
      `envoy_cluster_circuit_breakers_default_cx_open{envoy_cluster_name="${cluster}"} 1`,
      'envoy_listener_downstream_cx_total{envoy_listener_address="0.0.0.0_80"} 1',
      'envoy_http_downstream_rq_xx{envoy_response_code_class="2",envoy_http_conn_manager_prefix="outbound_0.0.0.0_80"} 1',
      'envoy_http_rbac_allowed{envoy_http_conn_manager_prefix="in"} 1',
      "envoy_server_uptime{} 1",
    ],
  );
});
