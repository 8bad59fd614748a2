// What stats.PluginConfig changes about Istio's metrics: decoded as it comes from a control plane, and read back from the
// exposition.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { parse } from "yaml";
import { PluginConfigSchema } from "#wire/gen/istio/stats-filter_pb.ts";
import { Headers } from "#wire/http/headers.ts";
import type { MetricRules } from "../config/metric-rules.ts";
import { decodeMetricRules } from "../config/parse/metric-rules.ts";
import { Problems } from "../config/problems.ts";
import { clusterConfig, endpointSet } from "../config/testing/resources.ts";
import type { RequestFacts, TcpFacts } from "../http/observer.ts";
import { ConnectionInfo } from "../transport/connection-info.ts";
import { histogramBounds } from "./histogram-bounds.ts";
import { localMetadata } from "./peer-metadata.ts";
import { StandardObserver } from "./standard-observer.ts";

function decoded(yaml: string): { readonly rules: MetricRules | null; readonly said: string[] } {
  const problems = new Problems("listener", "l");
  const message = fromJson(PluginConfigSchema, parse(yaml) as JsonValue);
  const { value, issues } = problems.done(decodeMetricRules(message, "stats", problems));
  return { rules: value, said: issues.map(({ message: text }) => text) };
}

function rulesOf(yaml: string): MetricRules {
  const { rules, said } = decoded(yaml);
  assert.ok(rules !== null, said.join("; "));
  return rules;
}

const cluster = clusterConfig(`
name: outbound|9080||ratings.default.svc.cluster.local
type: EDS
metadata: { filter_metadata: { istio: { services: [{ host: ratings.default.svc.cluster.local, name: ratings, namespace: default }] } } }`);
const passthrough = clusterConfig("{ name: PassthroughCluster, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED }");
const endpoint =
  endpointSet(`
cluster_name: c
endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 10.0.0.1, port_value: 80 } } }, metadata: { filter_metadata: { istio: { workload: "ratings-v1;default;ratings;v1;Kubernetes" } } } }] }]`)
    .endpoints[0] ?? null;

function headers(values: Readonly<Record<string, string>>): Headers {
  const list = new Headers();
  for (const [name, value] of Object.entries(values)) list.add(name, value);
  return list;
}

function request(change: Partial<RequestFacts> = {}): RequestFacts {
  const connection = new ConnectionInfo();
  connection.direction = 2;
  return {
    connection,
    clusterConfig: cluster,
    endpointConfig: endpoint,
    method: "GET",
    authority: "ratings:9080",
    scheme: "http",
    protocol: "HTTP/1.1",
    path: "/ratings/0?x=1",
    headers: headers({ "X-Tenant": "blue" }),
    responseHeaders: headers({ "x-version": "v7" }),
    responseDetails: "via_upstream",
    startTimeMs: 0,
    routeName: "default",
    responseStatus: 200,
    responseFlags: "",
    durationMs: 7,
    requestBytes: 3,
    responseBytes: 48,
    isGrpc: false,
    requestMessages: 0,
    responseMessages: 0,
    grpcStatus: undefined,
    downstreamPeerMetadata: undefined,
    downstreamPeerMetadataId: undefined,
    upstreamPeerMetadata: undefined,
    upstreamPeerMetadataId: undefined,
    upstreamPeerUriSan: undefined,
    upstreamLocalUriSan: undefined,
    ...change,
  };
}

const observer = (): StandardObserver =>
  new StandardObserver(
    localMetadata({ WORKLOAD_NAME: "reviews-v2", NAMESPACE: "default", LABELS: { app: "reviews" } }),
  );

/** The labels of the one series of a metric, or how many there are instead. */
function labelsOf(exposition: string, metric: string): Readonly<Record<string, string>> | number {
  const lines = exposition.split("\n").filter((line) => line.startsWith(`${metric}{`));
  const [line] = lines;
  if (lines.length !== 1 || line === undefined) return lines.length;
  return Object.fromEntries([...line.matchAll(/(\w+)="([^"]*)"/g)].map(([, name = "", value = ""]) => [name, value]));
}

function reported(yaml: string, facts: RequestFacts = request()): string {
  const target = observer();
  target.onRequestComplete(facts, rulesOf(yaml));
  return target.expose();
}

test("labels are added and replaced by what expressions read, and removed", () => {
  const text = reported(`
metrics:
- name: requests_total
  tags_to_remove: [source_app, response_flags]
  dimensions:
    request_host: request.host
    tenant: "request.headers['x-tenant']"
    version: "response.headers['x-version']"
    code_class: "string(response.code / 100) + 'xx'"
    destination_version: "'fixed'"
    peer: filter_state.upstream_peer.workload
    own: node.workload
    nothing: "request.headers['x-not-there']"
    slow: "response.size > 40"`);
  const labels = labelsOf(text, "istio_requests_total");
  assert.ok(typeof labels === "object");
  const { request_host, tenant, version, code_class, destination_version, peer, own, nothing, slow } = labels;
  assert.deepEqual(
    { request_host, tenant, version, code_class, destination_version, peer, own, nothing, slow },
    {
      request_host: "ratings:9080",
      tenant: "blue",
      version: "v7",
      code_class: "2xx",
      destination_version: "fixed",
      peer: "ratings-v1",
      own: "reviews-v2",
      nothing: "unknown",
      slow: "true",
    },
  );
  assert.deepEqual([labels["source_app"], labels["response_flags"]], [undefined, undefined]);
  assert.equal(labels["destination_service_name"], "ratings", "the others stay");
  const others = labelsOf(text, "istio_response_bytes_count");
  assert.ok(typeof others === "object" && others["source_app"] === "reviews" && others["tenant"] === undefined);
});

test("a metric may be dropped, by name, all of them, or where an expression says so", () => {
  const one = reported("metrics: [{ name: request_bytes, drop: true }]");
  assert.equal(labelsOf(one, "istio_request_bytes_count"), 0);
  assert.notEqual(labelsOf(one, "istio_requests_total"), 0);
  assert.equal(reported("metrics: [{ drop: true }]"), "");
  const some = `metrics: [{ name: requests_total, match: "request.path.startsWith('/health')", drop: true }]`;
  assert.equal(labelsOf(reported(some, request({ path: "/health" })), "istio_requests_total"), 0);
  assert.notEqual(labelsOf(reported(some), "istio_requests_total"), 0);
});

test("changed and standard series of a metric stand in one family", () => {
  const target = observer();
  target.onRequestComplete(request(), rulesOf("{}"));
  target.onRequestComplete(request(), rulesOf("metrics: [{ dimensions: { own: \"'x'\" } }]"));
  const text = target.expose();
  assert.equal(labelsOf(text, "istio_requests_total"), 2);
  assert.equal(text.match(/^# TYPE istio_requests_total /gm)?.length, 1);
  assert.equal(text.match(/^# TYPE istio_request_duration_milliseconds /gm)?.length, 1);
});

test("the Host header names the service only where that is allowed", () => {
  const facts = request({ clusterConfig: passthrough, authority: "evil.example" });
  const allowed = labelsOf(reported("{}", facts), "istio_requests_total");
  const forbidden = labelsOf(reported("disable_host_header_fallback: true", facts), "istio_requests_total");
  assert.ok(typeof allowed === "object" && typeof forbidden === "object");
  assert.deepEqual([allowed["destination_service"], forbidden["destination_service"]], ["evil.example", "unknown"]);
  assert.equal(forbidden["destination_service_name"], "PassthroughCluster");
});

test("a gateway may report for the servers behind it", () => {
  const labels = labelsOf(reported("reporter: SERVER_GATEWAY"), "istio_requests_total");
  assert.ok(typeof labels === "object");
  assert.deepEqual(
    [labels["reporter"], labels["source_workload"], labels["destination_workload"]],
    ["waypoint", "unknown", "ratings-v1"],
  );
});

test("connections have changed labels too, and are reported as often as is asked for", () => {
  const rules = rulesOf(`
tcp_reporting_duration: 15s
metrics: [{ name: tcp_connections_opened_total, dimensions: { sni: connection.requested_server_name, port: destination.port } }]`);
  assert.equal(rules.tcpReportMs, 15_000);
  const connection = new ConnectionInfo();
  connection.direction = 2;
  connection.serverName = "db.example";
  connection.destinationPort = 5432;
  const facts: TcpFacts = {
    connection,
    clusterConfig: cluster,
    endpointConfig: endpoint,
    receivedBytes: 1,
    sentBytes: 2,
    responseFlags: "",
    upstreamPeerUriSan: undefined,
    upstreamLocalUriSan: undefined,
    metricRules: rules,
  };
  const target = observer();
  target.onTcpOpened(facts);
  target.onTcpClosed(facts);
  const opened = labelsOf(target.expose(), "istio_tcp_connections_opened_total");
  assert.ok(typeof opened === "object" && opened["sni"] === "db.example" && opened["port"] === "5432");
  const closed = labelsOf(target.expose(), "istio_tcp_connections_closed_total");
  assert.ok(typeof closed === "object" && closed["sni"] === undefined);
});

test("labels are named as Prometheus allows, and what nobody knows is unknown", () => {
  const text = reported(`
metrics:
- dimensions: { my-label: request.method, 1st: upstream_peer.workload, lost: istio_operationId, bad: 'request.' }
  tags_to_remove: [request-protocol]`);
  const labels = labelsOf(text, "istio_requests_total");
  assert.ok(typeof labels === "object");
  const { my_label: own, _1st: first, lost, bad, request_protocol: protocol } = labels;
  assert.deepEqual([own, first, lost, bad, protocol], ["GET", "ratings-v1", "unknown", undefined, undefined]);
});

test("what is not valid is left out or refused as Envoy does, and what is not there is told", () => {
  const refusal = (yaml: string): string => {
    const { rules, said } = decoded(yaml);
    return rules === null ? said.join("; ") : `accepted: ${said.join("; ")}`;
  };
  assert.match(
    refusal("metrics: [{ dimensions: { a: 'request.' } }]"),
    /^accepted: the label \(request\. is not valid/,
  );
  assert.match(refusal("metrics: [{ dimensions: { '': request.path } }]"), /^accepted: .*a label without a name/);
  assert.match(refusal("metrics: [{ match: 'request.' }]"), /^request\. is not valid/);
  assert.match(refusal("metrics: [{ dimensions: { a: nobody.knows } }]"), /^accepted: the CEL attribute nobody/);
  assert.equal(refusal("metrics: [{ dimensions: { a: upstream_peer.app } }]"), "accepted: ");
  const noExpression = refusal(`metrics: [{ dimensions: { a: "request.path.matches('(')" } }]`);
  assert.match(noExpression, /^accepted: .*is not a regular expression.*its value is unknown/);
  const noConstant = refusal("metrics: [{ dimensions: { a: request.path.matches(request.host) } }]");
  assert.match(noConstant, /^accepted: .*that is no constant.*its value is unknown/);
  assert.match(refusal("metrics: [{ name: my_metric }]"), /^accepted: .*which is none of Istio's/);
  assert.match(refusal("rotation_interval: 60s"), /^accepted: dropping series that nobody adds to/);
  assert.match(refusal("graceful_deletion_interval: 60s"), /^accepted: dropping series/);
  assert.match(refusal("definitions: [{ name: 'a b', value: '1' }]"), /is no name for a metric/);
  assert.match(refusal("definitions: [{ name: requests_total, value: '1' }]"), /is one of Istio's own/);
  assert.match(refusal("definitions: [{ name: a, value: 'request.' }]"), /is not valid/);
});

test("metrics of one's own are counted, set and observed, with labels as configured", () => {
  const text = reported(`
definitions:
- { name: calls, value: "1" }
- { name: last_size, value: response.size, type: GAUGE }
- { name: took, value: "double(response.size) / 2.0", type: HISTOGRAM }
- { name: nothing, value: "request.headers['x-not-there']" }
metrics:
- { name: calls, dimensions: { tenant: "request.headers['x-tenant']" }, tags_to_remove: [source_app] }
- { name: istio_took, drop: true, match: "response.code == 500" }`);
  const labels = labelsOf(text, "istio_calls");
  assert.ok(typeof labels === "object" && labels["tenant"] === "blue" && labels["source_app"] === undefined);
  assert.match(text, /# TYPE istio_calls counter\nistio_calls\{.*\} 1\n/);
  assert.match(text, /# TYPE istio_last_size gauge\nistio_last_size\{.*\} 48\n/);
  assert.match(text, /istio_took_sum\{.*\} 24\n/);
  assert.ok(!text.includes("istio_nothing"));
  // The standard ones stay as they are.
  assert.match(text, /istio_requests_total\{.*\} 1\n/);
});

test("request_bytes and response_bytes are the sizes of bodies", () => {
  const text = reported("{}");
  assert.match(text, /istio_request_bytes_sum\{.*\} 3\n/);
  assert.match(text, /istio_response_bytes_sum\{.*\} 48\n/);
  assert.match(text, /istio_response_bytes_bucket\{.*,le="25"\} 0\n.*le="50"\} 1\n/);
});

const annotation = "sidecar.istio.io/statsHistogramBuckets";
function bucketsOf(text: string): string[] {
  const said: string[] = [];
  const metadata = { ANNOTATIONS: { [annotation]: text } };
  const target = new StandardObserver(
    localMetadata({}),
    histogramBounds(metadata, (message) => said.push(message)),
  );
  target.onRequestComplete(request(), rulesOf("{}"));
  const of = (metric: string): string =>
    [...target.expose().matchAll(new RegExp(`^istio_${metric}_bucket\\{.*le="([^"]+)"`, "gm"))]
      .map(([, le]) => le)
      .join();
  return [of("request_duration_milliseconds"), of("request_bytes"), ...said];
}

test("buckets are those of the pod's annotation, by prefix", () => {
  assert.deepEqual(bucketsOf('{"istiocustom.istio_request_duration": [1, 5.5, 10], "istiocustom": [100]}'), [
    "1,5.5,10,+Inf",
    "100,+Inf",
  ]);
  assert.deepEqual(bucketsOf('{"cluster": [1]}'), bucketsOf(""));
});

for (const [text, message] of [
  ["{", /statsHistogramBuckets is not JSON/],
  ["[1]", /is no object from prefix to buckets/],
  ['{"istiocustom": [5, 1]}', /has no ascending positive numbers for "istiocustom"/],
  ['{"istiocustom": []}', /has no ascending positive numbers/],
  ['{"istiocustom": ["1"]}', /has no ascending positive numbers/],
] as const) {
  test(`the annotation ${text} leaves the buckets as they are, and is told`, () => {
    const [durations, , said = ""] = bucketsOf(text);
    assert.equal(durations, bucketsOf("")[0]);
    assert.match(said, message);
  });
}
