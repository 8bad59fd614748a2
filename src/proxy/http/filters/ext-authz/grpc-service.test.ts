// External authorization by a service that speaks gRPC: an independent server of @grpc/grpc-js is asked.
import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { type TestContext, test } from "node:test";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import type { MethodDefinition } from "@grpc/grpc-js";
import {
  type CheckRequest,
  CheckRequestSchema,
  type CheckResponse,
  CheckResponseSchema,
} from "#wire/gen/envoy/service/auth/v3/external_auth_pb.ts";
import { clusterOn } from "../../../listener/testing/data-path.ts";
import { type FilterBench, filterBench } from "../../../listener/testing/filter-bench.ts";
import { grpcServer } from "../../../listener/testing/grpc-server.ts";
import { ask, sendRaw } from "../../../listener/testing/requests.ts";

const types = "type.googleapis.com/envoy.extensions.filters.http";

const check: MethodDefinition<CheckRequest, CheckResponse> = {
  path: "/envoy.service.auth.v3.Authorization/Check",
  requestStream: false,
  responseStream: false,
  requestSerialize: (value) => Buffer.from(toBinary(CheckRequestSchema, value)),
  requestDeserialize: (bytes) => fromBinary(CheckRequestSchema, bytes),
  responseSerialize: (value) => Buffer.from(toBinary(CheckResponseSchema, value)),
  responseDeserialize: (bytes) => fromBinary(CheckResponseSchema, bytes),
};

type Answer = MessageInitShape<typeof CheckResponseSchema>;

interface Served {
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

interface Bench extends FilterBench {
  readonly asked: CheckRequest[];
  readonly served: Served[];
  answer: () => Answer | Promise<Answer>;
}

async function bench(
  t: TestContext,
  filter = "",
  more: { before?: string; behind?: string; routes?: string } = {},
): Promise<Bench> {
  const asked: CheckRequest[] = [];
  const served: Served[] = [];
  const service = await grpcServer(check, async (request) => {
    asked.push(request);
    return create(CheckResponseSchema, await result.answer());
  });
  const started = await filterBench({
    filters: `${more.before ?? ""}
- name: ext_authz
  typed_config:
    "@type": ${types}.ext_authz.v3.ExtAuthz
    grpc_service: { envoy_grpc: { cluster_name: authz, authority: authz.example }, timeout: 0.5s }
    ${filter}${more.behind ?? ""}`,
    upstream: (request, response) => {
      let body = "";
      request.on("data", (chunk: Buffer) => (body += chunk.toString()));
      request.on("end", () => {
        served.push({ url: request.url ?? "", headers: request.headers, body });
        response.setHeader("x-app", "1").end("app");
      });
    },
    ...(more.routes !== undefined && { routes: more.routes }),
  });
  started.path.clusters.update(clusterOn("authz", [service.port], { upstreamProtocol: "http2" }));
  t.after(() => {
    started.stop();
    service.stop();
  });
  const result: Bench = { ...started, asked, served, answer: () => ({}) };
  return result;
}

test("the service is told the request and the connection", async (t) => {
  const it = await bench(t);
  const headers = {
    host: "shop.example",
    "x-a": "1",
    "content-length": 5,
    "x-envoy-downstream-service-cluster": "web",
  };
  assert.equal((await ask(it.path, "/cart?id=1", { method: "POST", headers }, "hello")).status, 200);
  const attributes = it.asked[0]?.attributes;
  const http = attributes?.request?.http;
  assert.deepEqual(
    [http?.method, http?.path, http?.host, http?.scheme, http?.protocol, http?.size, http?.body],
    ["POST", "/cart?id=1", "shop.example", "http", "HTTP/1.1", 5n, ""],
  );
  assert.deepEqual(
    [
      http?.headers["x-a"],
      http?.headers[":method"],
      http?.headers[":path"],
      http?.headers[":authority"],
      http?.headers["host"],
    ],
    ["1", "POST", "/cart?id=1", "shop.example", undefined],
  );
  assert.match(http?.id ?? "", /^[0-9a-f-]{36}$/);
  assert.ok((attributes?.request?.time?.seconds ?? 0n) > 1_700_000_000n);
  const source = attributes?.source?.address?.address;
  assert.equal(source?.case === "socketAddress" && source.value.address, "127.0.0.1");
  assert.equal(attributes?.source?.service, "web");
  const destination = attributes?.destination?.address?.address;
  assert.equal(destination?.case === "socketAddress" && destination.value.portSpecifier.value, it.path.port());
  assert.equal(it.served[0]?.body, "hello");
  assert.equal(it.stat("http.test.ext_authz.ok"), 1);
});

test("a good answer changes headers, parameters and the response, with every action", async (t) => {
  const it = await bench(t);
  const option = (key: string, value: string, more: object = {}): object => ({ header: { key, value }, ...more });
  it.answer = () => ({
    httpResponse: {
      case: "okResponse",
      value: {
        headers: [
          option("x-set", "new"),
          option("X-Appended", "b", { append: true }),
          option("x-appended-absent", "b", { append: true }),
          option("x-if-absent", "2", { appendAction: 1 }),
          option("x-if-there", "2", { appendAction: 3 }),
          option("x-percent", "%REQ(authorization)%"),
          option("x-split", "a\r\nx-evil: 1"),
          option("content-length", "0"),
          option("bad name", "1"),
          option(":path", "/changed?old=1&gone=1&keep=%202"),
        ],
        headersToRemove: ["Authorization", "host", ":method"],
        responseHeadersToAdd: [option("x-app", "2", { append: true }), option("x-new", "1"), option("host", "x")],
        queryParametersToSet: [{ key: "old", value: "a b&c" }],
        queryParametersToRemove: ["gone"],
      },
    },
  });
  const headers = { host: "a", "x-set": "old", "x-appended": "a", "x-if-absent": "1", authorization: "Basic x" };
  const answer = await ask(it.path, "/", { headers });
  assert.equal(answer.status, 200);
  const served = it.served[0];
  assert.equal(served?.url, "/changed?keep=%202&old=a%20b%26c");
  assert.deepEqual(
    [
      "x-set",
      "x-appended",
      "x-appended-absent",
      "x-if-absent",
      "x-if-there",
      "x-percent",
      "x-split",
      "x-evil",
      "authorization",
      "host",
    ].map((name) => served?.headers[name]),
    ["new", "a,b", undefined, "1", undefined, "%REQ(authorization)%", undefined, undefined, undefined, "a"],
  );
  assert.deepEqual(
    [answer.headers["x-app"], answer.headers["x-new"], answer.headers["host"]],
    ["1, 2", "1", undefined],
  );
});

test("a refusal has its status, headers and body; without them it is 403", async (t) => {
  const it = await bench(t);
  it.answer = () => ({
    status: { code: 7 },
    httpResponse: {
      case: "deniedResponse",
      value: {
        status: { code: 401 },
        headers: [{ header: { key: "x-why", value: "no" } }, { header: { key: "content-length", value: "99" } }],
        body: "go away",
      },
    },
  });
  const answer = await ask(it.path, "/");
  assert.deepEqual([answer.status, answer.body, answer.headers["x-why"]], [401, "go away", "no"]);
  assert.equal(it.path.logs.at(-1)?.["responseCodeDetails"], "ext_authz_denied");
  it.answer = () => ({ status: { code: 16 } });
  const plain = await ask(it.path, "/");
  assert.deepEqual([plain.status, plain.body], [403, ""]);
  assert.equal(it.stat("http.test.ext_authz.denied"), 2);
});

test("a service that fails, is late or is not there refuses", async (t) => {
  const it = await bench(t);
  it.answer = () => Promise.reject({ code: 13, details: "broken" });
  assert.equal((await ask(it.path, "/")).status, 403);
  assert.match(
    String(it.path.logs.at(-1)?.["cause"]),
    /the authorization service authz \(gRPC\) can't be asked: broken \(gRPC status 13\)/,
  );
  it.answer = () => new Promise(() => {});
  assert.equal((await ask(it.path, "/")).status, 403);
  assert.equal(it.stat("http.test.ext_authz.timeout"), 1);
  it.path.clusters.remove("authz");
  assert.equal((await ask(it.path, "/")).status, 403);
  assert.equal(it.path.logs.at(-1)?.["responseCodeDetails"], "ext_authz_error");
  assert.equal(it.stat("http.test.ext_authz.error"), 3);
});

test("changes that would break a message are left out, or are an error where they are validated", async (t) => {
  const it = await bench(t, "validate_mutations: true");
  it.answer = () => ({
    httpResponse: { case: "okResponse", value: { headers: [{ header: { key: "x-a", value: "a\nb" } }] } },
  });
  const answer = await ask(it.path, "/");
  assert.deepEqual([answer.status, it.path.logs.at(-1)?.["responseCodeDetails"]], [500, "ext_authz_invalid"]);
  assert.equal(it.stat("http.test.ext_authz.invalid"), 1);
});

test("rules say which headers the service may change", async (t) => {
  const change: Answer = {
    httpResponse: {
      case: "okResponse",
      value: {
        headers: [
          { header: { key: "x-fine", value: "1" } },
          { header: { key: "x-forbidden", value: "1" } },
          { header: { key: "x-envoy-retry-on", value: "5xx" } },
          { header: { key: ":authority", value: "other" } },
        ],
      },
    },
  };
  const lax = await bench(t, "decoder_header_mutation_rules: { disallow_expression: { regex: x-forb.* } }");
  lax.answer = () => change;
  await ask(lax.path, "/", { headers: { host: "a" } });
  const served = lax.served[0]?.headers;
  assert.deepEqual(
    [served?.["x-fine"], served?.["x-forbidden"], served?.["x-envoy-retry-on"], served?.host],
    ["1", undefined, undefined, "a"],
  );
  const strict = await bench(t, "decoder_header_mutation_rules: { disallow_all: true, disallow_is_error: true }");
  strict.answer = () => change;
  assert.equal((await ask(strict.path, "/")).status, 500);
});

test("CVE-2021-32777: every value of a repeated header is told; bytes that are no UTF-8 are replaced or sent raw", async (t) => {
  const request = Buffer.from(
    "GET / HTTP/1.1\r\nhost: a\r\nx-role: user\r\nx-role: admin\r\nx-odd: a\xffb\r\nx-fine: \xc3\xbc\r\nconnection: close\r\n\r\n",
    "latin1",
  );
  const joined = await bench(t, "disallowed_headers: { patterns: [{ exact: x-request-id }] }");
  await sendRaw(joined.path.port(), request);
  const headers = joined.asked[0]?.attributes?.request?.http?.headers;
  assert.deepEqual(
    [headers?.["x-role"], headers?.["x-odd"], headers?.["x-fine"], headers?.["x-request-id"]],
    ["user,admin", "a!b", "ü", undefined],
  );
  const raw = await bench(
    t,
    "encode_raw_headers: true\n    allowed_headers: { patterns: [{ prefix: x-o }, { exact: x-role }] }",
  );
  await sendRaw(raw.path.port(), request);
  const http = raw.asked[0]?.attributes?.request?.http;
  assert.deepEqual(http?.headers, {});
  assert.deepEqual(
    http?.headerMap?.headers.map(({ key, rawValue }) => [key, Buffer.from(rawValue).toString("latin1")]),
    [
      ["x-role", "user"],
      ["x-role", "admin"],
      ["x-odd", "a\xffb"],
    ],
  );
});

test("metadata, context of routes, body and metadata of the answer go where they are configured to", async (t) => {
  const shadow = `
- name: rbac
  typed_config:
    "@type": ${types}.rbac.v3.RBAC
    shadow_rules: { policies: { mark: { permissions: [{ any: true }], principals: [{ any: true }] } } }`;
  const behind = `
- name: rbac2
  typed_config:
    "@type": ${types}.rbac.v3.RBAC
    rules: { policies: { p: { permissions: [{ any: true }], principals: [{ metadata: {
      filter: envoy.filters.http.ext_authz, path: [{ key: tier }], value: { string_match: { exact: gold } } } }] } } }`;
  const own = (yaml: string): string =>
    `typed_per_filter_config: { ext_authz: { "@type": ${types}.ext_authz.v3.ExtAuthzPerRoute, check_settings: ${yaml} } }`;
  const it = await bench(
    t,
    `with_request_body: { max_request_bytes: 100, pack_as_bytes: true }
    metadata_context_namespaces: [envoy.filters.http.rbac]
    route_metadata_context_namespaces: [team]`,
    {
      before: shadow,
      behind,
      routes: `
${own("{ context_extensions: { host: all, level: host } }")}
routes:
- match: { prefix: / }
  route: { cluster: app }
  metadata: { filter_metadata: { team: { name: shop } } }
  ${own("{ context_extensions: { level: route } }")}`,
    },
  );
  it.answer = () => ({ dynamicMetadata: { tier: "gold" } });
  assert.equal((await ask(it.path, "/", { method: "POST", headers: { "content-length": 2 } }, "hi")).status, 200);
  const attributes = it.asked[0]?.attributes;
  assert.deepEqual(attributes?.contextExtensions, { host: "all", level: "route" });
  assert.deepEqual(attributes?.metadataContext?.filterMetadata["envoy.filters.http.rbac"], {
    shadow_engine_result: "allowed",
    shadow_effective_policy_id: "mark",
  });
  assert.deepEqual(attributes?.routeMetadataContext?.filterMetadata["team"], { name: "shop" });
  const http = attributes?.request?.http;
  assert.deepEqual(
    [Buffer.from(http?.rawBody ?? []).toString(), http?.body, http?.headers["x-envoy-auth-partial-body"]],
    ["hi", "", "false"],
  );
  it.answer = () => ({ dynamicMetadata: { tier: "tin" } });
  assert.equal((await ask(it.path, "/")).status, 403);
});

test("metadata of the answer may be ignored", async (t) => {
  const it = await bench(t, "enable_dynamic_metadata_ingestion: false");
  it.answer = () => ({ dynamicMetadata: { tier: "gold" } });
  assert.equal((await ask(it.path, "/")).status, 200);
  assert.equal(it.stat("http.test.ext_authz.ignored_dynamic_metadata"), 1);
});

test("a gRPC request is asked about, and a refusal is a gRPC status", async (t) => {
  const it = await bench(t);
  const call = { method: "POST", headers: { "content-type": "application/grpc", te: "trailers" } };
  assert.equal((await ask(it.path, "/s/m", call)).status, 200);
  it.answer = () => ({ status: { code: 7 } });
  const answer = await ask(it.path, "/s/m", call);
  assert.deepEqual([answer.status, answer.headers["grpc-status"]], [200, "7"]);
});
