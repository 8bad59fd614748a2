// The whole walk over what the real compiler makes of Bookinfo: the decisions that the live proxies will take.
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatOrigin, type Origin } from "#base/issue.ts";
import { compileProxy } from "#mesh/compile/compile.ts";
import { bookinfo, ingressGateway, mesh, sidecarOf } from "#mesh/compile/testing/mesh.ts";
import { decodeView } from "../config/decode-view.ts";
import { clusterConfig, listenerConfig, tcpTo } from "../config/testing/resources.ts";
import { newTrace, type Trace } from "../config/trace.ts";
import { decideGateway, decideInbound, decideOutbound } from "./decide.ts";
import type { Decision, Question } from "./decision.ts";
import type { ProxyView } from "./view.ts";

const configuration = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: bookinfo-gateway}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ["*"]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bookinfo}
spec:
  hosts: ["*"]
  gateways: [bookinfo-gateway]
  http:
  - match: [{uri: {exact: /productpage}}]
    route: [{destination: {host: productpage, port: {number: 9080}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
  - {name: v3, labels: {version: v3}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match: [{headers: {end-user: {exact: jason}}}]
    route: [{destination: {host: reviews, subset: v2}}]
  - route:
    - {destination: {host: reviews, subset: v1}, weight: 90}
    - {destination: {host: reviews, subset: v3}, weight: 10}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: reviews-viewer}
spec:
  selector: {matchLabels: {app: reviews}}
  rules:
  - from: [{source: {principals: [cluster.local/ns/default/sa/bookinfo-productpage]}}]
    to: [{operation: {methods: [GET]}}]
`;

const snapshot = mesh(bookinfo, configuration);

function viewOf(proxy: Parameters<typeof compileProxy>[1]): ProxyView {
  const { listeners, routes, clusters, endpoints, extensions } = compileProxy(snapshot, proxy);
  const { view, issues } = decodeView({
    listeners: listeners.values(),
    routes: routes.values(),
    clusters: clusters.values(),
    endpoints: endpoints.values(),
    extensions: extensions.values(),
  });
  assert.deepEqual(issues, []);
  return view;
}

const productpage = viewOf(sidecarOf("productpage", "10.244.0.11"));
const reviews = viewOf(sidecarOf("reviews", "10.244.0.23"));

const toReviews = (headers: Record<string, string> = {}, random = 0): Question => ({
  destinationIp: "10.96.0.13",
  destinationPort: 9080,
  sourceIp: "10.244.0.11",
  tls: null,
  http: { method: "GET", authority: "reviews:9080", path: "/reviews/0", headers },
  random,
});

const origins = (trace: Trace, what: string): string[] =>
  (trace.steps.find((step) => step.what === what)?.origins ?? []).map((origin: Origin) => formatOrigin(origin));

test("jason always goes to v2, others are split 90 to 10", () => {
  const endpoint = (question: Question) => decideOutbound(productpage, question, null).endpoint?.key;
  assert.equal(endpoint(toReviews({ "end-user": "jason" }, 0.99)), "10.244.0.23:9080");
  assert.equal(endpoint(toReviews({}, 0.89)), "10.244.0.13:9080");
  assert.equal(endpoint(toReviews({}, 0.91)), "10.244.0.33:9080");
});

test("the walk speaks mutual TLS to a sidecar and offers Istio's protocols", () => {
  const trace = newTrace();
  const decision = decideOutbound(productpage, toReviews({ "end-user": "jason" }), trace);
  assert.equal(decision.outcome, "forwarded");
  assert.equal(decision.transport?.name, "tlsMode-istio");
  assert.equal(decision.transport?.tls?.sni, "outbound_.9080_.v2_.reviews.default.svc.cluster.local");
  assert.deepEqual(decision.upstreamAlpn, ["istio-h2", "istio-http/1.1", "istio", "http/1.1"]);
  assert.match(origins(trace, "route").join(), /VirtualService default\/reviews/);
});

function arriving(peerId: string | undefined, method = "GET"): Question {
  const outbound = decideOutbound(productpage, toReviews({ "end-user": "jason" }), null);
  return {
    ...toReviews(),
    destinationIp: outbound.endpoint?.host ?? "",
    destinationPort: outbound.endpoint?.port ?? 0,
    tls:
      peerId === undefined
        ? null
        : { serverName: outbound.transport?.tls?.sni ?? "", alpn: outbound.upstreamAlpn, peerId },
    http: { method, authority: "reviews:9080", path: "/reviews/0", headers: {} },
  };
}

const caller = "spiffe://cluster.local/ns/default/sa/bookinfo-productpage";

test("the called side lets the allowed identity in and names the policy", () => {
  const trace = newTrace();
  const decision = decideInbound(reviews, arriving(caller), trace);
  assert.equal(decision.outcome, "forwarded");
  assert.equal(decision.cluster?.name, "inbound|9080||");
  assert.match(origins(trace, "authorization").join(), /AuthorizationPolicy default\/reviews-viewer/);
});

test("another identity or method is refused with the nearest policy", () => {
  for (const question of [arriving("spiffe://cluster.local/ns/default/sa/other"), arriving(caller, "POST")]) {
    const decision = decideInbound(reviews, question, newTrace());
    assert.equal(decision.status, 403);
    assert.equal(decision.authorization[0]?.nearestMiss?.failed.length, 1);
  }
});

test("an identity of a foreign trust domain does not get past the handshake", () => {
  const decision = decideInbound(reviews, arriving("spiffe://evil/ns/default/sa/bookinfo-productpage"), null);
  assert.equal(decision.outcome, "refused");
  assert.match(decision.reason, /identity spiffe:\/\/evil/);
});

test("plaintext is refused under STRICT, with the policy that says so", () => {
  const trace = newTrace();
  const decision = decideInbound(reviews, arriving(undefined), trace);
  assert.equal(decision.outcome, "refused");
  assert.match(decision.reason, /plaintext to port 9080 is refused/);
  assert.match(origins(trace, "filter chain").join(), /PeerAuthentication default\/default/);
});

test("the gateway routes by path and answers 404 for the rest", () => {
  const gateway = viewOf(ingressGateway());
  const ask = (path: string): Question => ({
    ...toReviews(),
    destinationIp: "10.244.0.2",
    destinationPort: 8080,
    http: { method: "GET", authority: "localhost:8080", path, headers: {} },
  });
  assert.equal(decideGateway(gateway, ask("/productpage"), null).endpoint?.key, "10.244.0.11:9080");
  assert.equal(decideGateway(gateway, ask("/other"), null).status, 404);
  const closed = decideGateway(gateway, { ...ask("/"), destinationPort: 9999 }, null);
  assert.match(closed.reason, /nothing listens/);
});

test("unknown destinations pass through to where they were going", () => {
  const decision = decideOutbound(
    productpage,
    { ...toReviews(), destinationIp: "1.2.3.4", destinationPort: 443, http: null },
    null,
  );
  assert.equal(decision.cluster?.name, "PassthroughCluster");
  assert.equal(decision.endpoint?.key, "1.2.3.4:443");
  assert.equal(decision.transport?.tls, null);
});

test("a listener on a port of its own is not gone through again by ORIGINAL_DST", () => {
  const passthrough = clusterConfig("{ name: PassthroughCluster, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED }");
  const decide = (redirected: boolean): Decision => {
    const listener = listenerConfig(`
name: own
address: { socket_address: { address: 0.0.0.0, port_value: 8080 } }
use_original_dst: ${redirected}
filter_chains:
- filters: ${tcpTo("PassthroughCluster")}
`);
    const view: ProxyView = {
      ...productpage,
      listeners: new Map([["own", listener]]),
      clusters: new Map([["PassthroughCluster", passthrough]]),
    };
    return decideGateway(view, { ...toReviews(), destinationPort: 8080, http: null }, null);
  };
  assert.equal(decide(true).endpoint?.key, "10.96.0.13:8080");
  const own = decide(false);
  assert.equal(own.outcome, "refused");
  assert.match(own.reason, /leads back to this proxy itself/);
});
