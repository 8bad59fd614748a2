import assert from "node:assert/strict";
import { test } from "node:test";
import { Headers } from "#wire/http/headers.ts";
import type { ClusterConfig, EndpointConfig } from "../config/cluster.ts";
import { standardRules } from "../config/metric-rules.ts";
import { clusterConfig, endpointSet } from "../config/testing/resources.ts";
import type { RequestFacts, TcpFacts } from "../http/observer.ts";
import { ConnectionInfo } from "../transport/connection-info.ts";
import { encodePeerMetadata, localMetadata } from "./peer-metadata.ts";
import { StandardObserver } from "./standard-observer.ts";

const metadata = (workload: string): Record<string, string | Record<string, string>> => ({
  NAME: `${workload}-abc`,
  NAMESPACE: "default",
  WORKLOAD_NAME: workload,
  CLUSTER_ID: "Kubernetes",
  LABELS: {
    app: "reviews",
    version: "v2",
    "service.istio.io/canonical-name": "reviews",
    "service.istio.io/canonical-revision": "v2",
  },
});

const cluster: ClusterConfig = clusterConfig(`
name: outbound|9080||ratings.default.svc.cluster.local
type: EDS
metadata: { filter_metadata: { istio: { services: [{ host: ratings.default.svc.cluster.local, name: ratings, namespace: default }] } } }`);
const passthrough = clusterConfig("{ name: PassthroughCluster, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED }");
const endpoint = endpointSet(`
cluster_name: c
endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 10.0.0.1, port_value: 80 } } }, metadata: { filter_metadata: { istio: { workload: "ratings-v1;default;ratings;v1;Kubernetes" } } } }] }]`)
  .endpoints[0] as EndpointConfig;

function connection(direction: 1 | 2, peer?: string): ConnectionInfo {
  const info = new ConnectionInfo();
  info.direction = direction;
  if (peer !== undefined) {
    info.isTls = true;
    info.localUriSan = "spiffe://cluster.local/ns/default/sa/reviews";
    info.peer = {
      isVerified: true,
      uriSan: peer,
      uriSans: [peer],
      dnsSans: [],
      subject: "",
      hash: "",
      notAfterMs: 0,
      pem: () => "",
    };
  }
  return info;
}

const request = (change: Partial<RequestFacts> = {}): RequestFacts => ({
  connection: connection(2),
  clusterConfig: cluster,
  endpointConfig: endpoint,
  method: "GET",
  authority: "ratings:9080",
  scheme: "http",
  protocol: "HTTP/1.1",
  path: "/ratings/0",
  headers: new Headers(),
  responseHeaders: null,
  responseDetails: "via_upstream",
  startTimeMs: 0,
  routeName: "default",
  responseStatus: 200,
  responseFlags: "",
  durationMs: 7,
  requestBytes: 0,
  responseBytes: 48,
  isGrpc: false,
  requestMessages: 0,
  responseMessages: 0,
  grpcStatus: undefined,
  downstreamPeerMetadata: undefined,
  downstreamPeerMetadataId: undefined,
  upstreamPeerMetadata: undefined,
  upstreamPeerMetadataId: undefined,
  upstreamPeerUriSan: "spiffe://cluster.local/ns/default/sa/ratings",
  upstreamLocalUriSan: "spiffe://cluster.local/ns/default/sa/reviews",
  ...change,
});

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A strict reader of the text format: a line that is not one fails the test. */
function parse(exposition: string): Sample[] {
  return exposition.split("\n").flatMap((line) => {
    if (line === "" || line.startsWith("#")) return [];
    const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*)\{(.*)\} ([0-9.e+]+)$/.exec(line);
    assert.ok(match, line);
    const [, name = "", text = "", value = ""] = match;
    const labels: Record<string, string> = {};
    let rest = text;
    while (rest !== "") {
      const label = /^([a-z_]+)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)/.exec(rest);
      assert.ok(label, rest);
      labels[label[1] ?? ""] = label[2] ?? "";
      rest = rest.slice(label[0].length);
    }
    return [{ name, labels, value: Number(value) }];
  });
}

const newObserver = (): StandardObserver => new StandardObserver(localMetadata(metadata("reviews-v2")));

const only = (observer: StandardObserver, name: string): Sample => {
  const samples = parse(observer.expose()).filter((sample) => sample.name === name);
  assert.equal(samples.length, 1, name);
  return samples[0] as Sample;
};

test("the client's report has Istio's full label set, the server from endpoint metadata", () => {
  const observer = newObserver();
  observer.onRequestComplete(request(), standardRules);
  observer.onRequestComplete(request(), standardRules);
  const sample = only(observer, "istio_requests_total");
  assert.equal(sample.value, 2);
  assert.deepEqual(sample.labels, {
    reporter: "source",
    source_workload: "reviews-v2",
    source_canonical_service: "reviews",
    source_canonical_revision: "v2",
    source_workload_namespace: "default",
    source_principal: "spiffe://cluster.local/ns/default/sa/reviews",
    source_app: "reviews",
    source_version: "v2",
    source_cluster: "Kubernetes",
    destination_workload: "ratings-v1",
    destination_workload_namespace: "default",
    destination_principal: "spiffe://cluster.local/ns/default/sa/ratings",
    destination_app: "unknown",
    destination_version: "unknown",
    destination_service: "ratings.default.svc.cluster.local",
    destination_canonical_service: "ratings",
    destination_canonical_revision: "v1",
    destination_service_name: "ratings",
    destination_service_namespace: "default",
    destination_cluster: "Kubernetes",
    request_protocol: "http",
    response_code: "200",
    grpc_response_status: "",
    response_flags: "-",
    connection_security_policy: "unknown",
  });
});

test("the server's report knows the client by its headers and its certificate", () => {
  const observer = newObserver();
  const header = encodePeerMetadata({ id: "sidecar~1", metadata: metadata("productpage-v1") }).metadata;
  const peer = "spiffe://cluster.local/ns/default/sa/productpage";
  observer.onRequestComplete(
    request({ connection: connection(1, peer), downstreamPeerMetadata: header }),
    standardRules,
  );
  const { labels } = only(observer, "istio_requests_total");
  assert.equal(labels["reporter"], "destination");
  assert.equal(labels["source_workload"], "productpage-v1");
  assert.equal(labels["source_app"], "reviews");
  assert.equal(labels["source_principal"], peer);
  assert.equal(labels["destination_workload"], "reviews-v2");
  assert.equal(labels["destination_principal"], "spiffe://cluster.local/ns/default/sa/reviews");
  assert.equal(labels["connection_security_policy"], "mutual_tls");
});

test("a client that says nothing of itself is unknown, and its connection had no security", () => {
  const observer = newObserver();
  observer.onRequestComplete(
    request({ connection: connection(1), downstreamPeerMetadata: "not base64 of anything" }),
    standardRules,
  );
  const { labels } = only(observer, "istio_requests_total");
  assert.equal(labels["source_workload"], "unknown");
  assert.equal(labels["source_principal"], "unknown");
  assert.equal(labels["connection_security_policy"], "none");
});

test("different responses are different series", () => {
  const observer = newObserver();
  observer.onRequestComplete(request(), standardRules);
  observer.onRequestComplete(request({ responseStatus: 503, responseFlags: "UF,URX" }), standardRules);
  observer.onRequestComplete(request({ isGrpc: true, grpcStatus: "14" }), standardRules);
  const rows = parse(observer.expose())
    .filter((sample) => sample.name === "istio_requests_total")
    .map(
      ({ labels }) =>
        `${labels["request_protocol"]} ${labels["response_code"]} ${labels["response_flags"]} ${labels["grpc_response_status"]}`,
    );
  assert.deepEqual(rows, ["http 200 - ", "http 503 UF,URX ", "grpc 200 - 14"]);
});

test("passthrough traffic is named by its host and cluster", () => {
  const observer = newObserver();
  observer.onRequestComplete(
    request({ clusterConfig: passthrough, endpointConfig: null, authority: "HTTPBIN.org:80" }),
    standardRules,
  );
  const { labels } = only(observer, "istio_requests_total");
  assert.equal(labels["destination_service"], "httpbin.org:80");
  assert.equal(labels["destination_service_name"], "PassthroughCluster");
});

test("hosts of strangers do not grow the metrics without bound, nor push others out", () => {
  const observer = newObserver();
  for (let i = 0; i < 3000; i++) {
    observer.onRequestComplete(
      request({ clusterConfig: null, endpointConfig: null, authority: `h${i}.example`, responseStatus: 404 }),
      standardRules,
    );
  }
  observer.onRequestComplete(request(), standardRules);
  const samples = parse(observer.expose()).filter((sample) => sample.name === "istio_requests_total");
  assert.ok(samples.length <= 1002, String(samples.length));
  assert.equal(
    samples.reduce((sum, sample) => sum + sample.value, 0),
    3001,
  );
  assert.equal(samples.filter((sample) => sample.labels["response_code"] === "200").length, 1);
});

test("a Host header cannot break out of its label", () => {
  const observer = newObserver();
  observer.onRequestComplete(request({ clusterConfig: null, authority: 'a"} 1\nevil{x="\\' }), standardRules);
  assert.equal(only(observer, "istio_requests_total").labels["destination_service"], 'a\\"} 1\\nevil{x=\\"\\\\');
});

test("durations fall into cumulative buckets", () => {
  const observer = newObserver();
  for (const durationMs of [0.4, 0.5, 7, 99_999_999])
    observer.onRequestComplete(request({ durationMs }), standardRules);
  const buckets = parse(observer.expose()).filter((it) => it.name === "istio_request_duration_milliseconds_bucket");
  const at = (le: string): number | undefined => buckets.find((bucket) => bucket.labels["le"] === le)?.value;
  assert.deepEqual([at("0.5"), at("1"), at("5"), at("10"), at("3600000"), at("+Inf")], [2, 2, 2, 3, 3, 4]);
  assert.equal(buckets.length, 20);
  assert.equal(only(observer, "istio_request_duration_milliseconds_count").value, 4);
  assert.equal(only(observer, "istio_response_bytes_sum").value, 4 * 48);
});

test("a TCP connection counts its start, its bytes as they move, and its end", () => {
  const observer = newObserver();
  const facts = {
    connection: connection(2),
    clusterConfig: cluster,
    endpointConfig: endpoint,
    receivedBytes: 0,
    sentBytes: 0,
    responseFlags: "",
    upstreamPeerUriSan: undefined,
    upstreamLocalUriSan: undefined,
    metricRules: standardRules,
  };
  observer.onTcpOpened(facts as TcpFacts);
  facts.sentBytes = 100;
  facts.receivedBytes = 10;
  observer.onTcpProgress(facts);
  assert.equal(only(observer, "istio_tcp_sent_bytes_total").value, 100);
  facts.sentBytes = 150;
  observer.onTcpClosed(facts);
  observer.onTcpClosed(facts);
  assert.equal(only(observer, "istio_tcp_connections_opened_total").value, 1);
  assert.equal(only(observer, "istio_tcp_connections_closed_total").value, 1);
  assert.equal(only(observer, "istio_tcp_sent_bytes_total").value, 150);
  assert.equal(only(observer, "istio_tcp_received_bytes_total").value, 10);
  const { labels } = only(observer, "istio_tcp_connections_opened_total");
  assert.equal(labels["request_protocol"], "tcp");
  assert.equal(labels["response_code"], undefined);
});

test("the sides of a request are who they said they are, else who the endpoint is known to be", () => {
  const observer = new StandardObserver(localMetadata(metadata("reviews-v2")));
  const { metadata: header } = encodePeerMetadata({ id: "x", metadata: metadata("reviews-v2") });
  const peers = (change: Partial<RequestFacts>): unknown[] =>
    (["downstream", "upstream"] as const).map((side) => observer.peerOf(request(change), side));
  const reviews = {
    workload: "reviews-v2",
    namespace: "default",
    cluster: "Kubernetes",
    service: "reviews",
    revision: "v2",
    app: "reviews",
    version: "v2",
  };
  const ratings = {
    workload: "ratings-v1",
    namespace: "default",
    cluster: "Kubernetes",
    service: "ratings",
    revision: "v1",
  };
  assert.deepEqual(peers({ downstreamPeerMetadata: header }), [reviews, { ...ratings, app: "", version: "" }]);
  assert.deepEqual(peers({ upstreamPeerMetadata: header }), [null, reviews]);
  assert.deepEqual(peers({ endpointConfig: null }), [null, null]);
});
