// What every HTTP filter owes every stream, whatever it does itself: a message that does not concern it passes whole, with
// its trailers; clients and servers may go at any time; a request may have no path; routes switch it off. A new filter
// is tested as soon as it is in the list, and says here with which settings.
import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import type { RouteEntry } from "../config/http.ts";
import { httpFilterTypes } from "../http/filters/all.ts";
import { forward, routeEntry } from "./testing/data-path.ts";
import { type FilterBench, filterBench, filteredRoute } from "./testing/filter-bench.ts";
import { askHttp2, http2Session } from "./testing/http2-peers.ts";
import { ask, sendRaw, until } from "./testing/requests.ts";

const all = "{ default_value: { numerator: 100 } }";
const library = (name: string, kind: string): string =>
  `{ name: lib, typed_config: { "@type": type.googleapis.com/envoy.extensions.compression.gzip.${kind}.v3.${name} } }`;
const service = "{ envoy_grpc: { cluster_name: not-there } }";

/** Settings with which a filter has something to do with requests of any kind, by type. */
const settings: Readonly<Record<string, string>> = {
  admission_control:
    "success_criteria: {}, max_rejection_probability: { default_value: { value: 0 }, runtime_key: none }",
  bandwidth_limit: "stat_prefix: b, enable_mode: REQUEST_AND_RESPONSE, limit_kbps: 100000",
  buffer: "max_request_bytes: 10000000",
  compressor: `compressor_library: ${library("Gzip", "compressor")}`,
  cors: "",
  csrf: `filter_enabled: ${all}`,
  dynamic_forward_proxy: "dns_cache_config: { name: c }",
  decompressor: `decompressor_library: ${library("Gzip", "decompressor")}`,
  ext_authz: `failure_mode_allow: true, transport_api_version: V3, grpc_service: ${service}`,
  fault:
    "delay: { fixed_delay: 0.001s, percentage: { numerator: 100 } }, response_rate_limit: { fixed_limit: { limit_kbps: 100000 }, percentage: { numerator: 100 } }",
  grpc_http1_bridge: "",
  grpc_stats: "emit_filter_state: true, stats_for_all_methods: true",
  grpc_web: "",
  header_mutation: "mutations: { request_mutations: [{ remove: x-removed }] }",
  header_to_metadata:
    'request_rules: [{ header: ":path", on_header_present: { key: path } }, { cookie: c, on_header_missing: { key: c, value: v } }]',
  health_check: 'pass_through_mode: true, headers: [{ name: ":path", string_match: { exact: /healthz } }]',
  ip_tagging: "ip_tags: [{ ip_tag_name: local, ip_list: [{ address_prefix: 127.0.0.0, prefix_len: 8 }] }]",
  istio_alpn: "",
  istio_stats:
    "metrics: [{ name: requests_total, dimensions: { path: request.url_path, tenant: \"request.headers['x-tenant']\" } }]",
  jwt_authn: "",
  local_ratelimit: `stat_prefix: l, filter_enabled: ${all}, filter_enforced: ${all}, enable_x_ratelimit_headers: DRAFT_VERSION_03, token_bucket: { max_tokens: 1000000, fill_interval: 1s }`,
  peer_metadata: "downstream_propagation: [{ istio_headers: {} }], upstream_propagation: [{ istio_headers: {} }]",
  ratelimit: `domain: d, rate_limit_service: { transport_api_version: V3, grpc_service: ${service} }`,
  rbac: "rules: { policies: { all: { permissions: [{ any: true }], principals: [{ any: true }] } } }",
  set_metadata: "metadata: [{ metadata_namespace: n, value: { a: 1 } }]",
  stateful_session: `session_state: { name: s, typed_config: { "@type": type.googleapis.com/envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState, cookie: { name: host } } }`,
};

/** The router ends every chain; wasm does what its module does, and has a suite of its own. */
const without: ReadonlySet<string> = new Set(["router", "wasm"]);

const body = Buffer.alloc(200 * 1024, "all the bytes, in their order; ");
/** Of the same origin, for who asks for that. */
const own = { host: "a.example", origin: "http://a.example" };

test("every filter is here with its settings", () => {
  const types = httpFilterTypes.map(({ type }) => type).filter((type) => !without.has(type));
  assert.deepEqual(Object.keys(settings).sort(), types.sort());
});

for (const filter of httpFilterTypes.filter(({ type }) => !without.has(type))) {
  describe(filter.type, () => {
    let bench: FilterBench;
    let ended = 0;
    before(async () => {
      const typeName = filter.messages[0]?.typeName ?? "";
      const routes: readonly RouteEntry[] = [
        filteredRoute("/off", { it: { disabled: true } }),
        routeEntry("/answered", { type: "direct_response", status: 418, body: "here" }),
        routeEntry("/gone", forward("not-there")),
        routeEntry("", forward("app")),
      ];
      bench = await filterBench({
        filters: `[{ name: it, typed_config: { "@type": type.googleapis.com/${typeName}, ${settings[filter.type] ?? ""} } }]`,
        routes,
        upstream: (req, res) => {
          const chunks: Buffer[] = [];
          req.on("error", () => {});
          res.on("close", () => ended++);
          req.on("data", (chunk: Buffer) => chunks.push(chunk));
          req.on("end", () => {
            if (req.url === "/cut") {
              res.writeHead(200, { "content-length": 10 }).write("half ");
              setImmediate(() => res.destroy());
              return;
            }
            if (req.url === "/hang") return;
            if (req.method === "HEAD") {
              res.writeHead(200, { "content-type": "text/other", "content-length": 7 }).end();
              return;
            }
            if (req.url === "/empty") {
              res.writeHead(204).end();
              return;
            }
            res.writeHead(200, {
              "content-type": "text/other",
              trailer: "x-sum",
              "x-echo": String(req.trailers["x-sum"]),
            });
            res.write(Buffer.concat(chunks));
            res.addTrailers({ "x-sum": "down" });
            res.end();
          });
        },
      });
    });
    after(() => bench.stop());

    const post = { method: "POST", headers: { ...own, "content-type": "text/other", "content-length": body.length } };

    test("messages pass whole", async () => {
      const answer = await ask(bench.path, "/", post, body);
      assert.equal(answer.status, 200, answer.body.slice(0, 200));
      assert.ok(answer.bytes.equals(body));
      assert.deepEqual(answer.trailers, { "x-sum": "down" });
      assert.equal((await ask(bench.path, "/empty", { headers: own })).status, 204);
      assert.equal((await ask(bench.path, "/", { method: "HEAD", headers: own })).body, "");
    });

    test("trailers pass in both directions", async () => {
      const head =
        "POST / HTTP/1.1\r\nhost: a.example\r\norigin: http://a.example\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
      const text = await sendRaw(bench.path.port(), `${head}3\r\nabc\r\n0\r\nx-sum: up\r\n\r\n`);
      assert.match(text, /x-echo: up\r\n/);
      assert.match(text, /\r\nabc\r\n0\r\nx-sum: down\r\n\r\n$/);
    });

    test("clients of HTTP/2 are served alike", async () => {
      const session = http2Session(bench.path.port());
      const headers = {
        ":authority": "a.example",
        origin: "http://a.example",
        ":method": "POST",
        "content-type": "text/other",
      };
      const answers = await Promise.all([1, 2, 3].map(() => askHttp2(session, headers, body)));
      for (const { status, body: text, trailers } of answers) {
        assert.deepEqual([status, text === body.toString(), trailers["x-sum"]], [200, true, "down"]);
      }
      assert.equal((await askHttp2(session, { ...headers, ":method": "GET", ":path": "/empty" })).status, 204);
      session.close();
    });

    test("what is answered here reaches the client", async () => {
      const answered = await ask(bench.path, "/answered", { headers: own });
      assert.deepEqual([answered.status, answered.body], [418, "here"]);
      assert.equal((await ask(bench.path, "/gone", post, body).catch(() => ({ status: 503 }))).status, 503);
    });

    test("a route switches it off", async () => {
      assert.ok((await ask(bench.path, "/off", post, body)).bytes.equals(body));
    });

    test("a client may go at any time", async () => {
      const { path } = bench;
      const before = path.logs.length;
      const begun = "POST / HTTP/1.1\r\nhost: a.example\r\norigin: http://a.example\r\ncontent-length: 100\r\n\r\nsome";
      const waiting = "GET /hang HTTP/1.1\r\nhost: a.example\r\n\r\n";
      for (const bytes of [begun, waiting]) {
        const client = connect(path.port(), "127.0.0.1");
        client.on("error", () => {});
        client.write(bytes);
        await new Promise((resolve) => setTimeout(resolve, 15));
        client.resetAndDestroy();
      }
      await until(() => path.logs.length === before + 2);
      assert.equal((await ask(path, "/empty", { headers: own })).status, 204);
      assert.ok(ended > 0);
    });

    test("a response that is cut short does not look complete", async () => {
      const got = await ask(bench.path, "/cut", { headers: own }).then(
        ({ body: text }) => text,
        () => "cut",
      );
      assert.equal(got, "cut");
    });

    test("CVE-2026-73547: a request without a path breaks nothing", async () => {
      const text = await sendRaw(bench.path.port(), "CONNECT a.example:80 HTTP/1.1\r\nhost: a.example:80\r\n\r\n", {
        end: true,
      });
      assert.match(text, /^HTTP\/1\.1 [45]\d\d /);
      assert.equal((await ask(bench.path, "/empty", { headers: own })).status, 204);
    });
  });
}
