// The rate limit service is a server of @grpc/grpc-js.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { ServerUnaryCall } from "@grpc/grpc-js";
import {
  RateLimitResponse_Code as Code,
  type RateLimitRequest,
  RateLimitRequestSchema,
  type RateLimitResponse,
  RateLimitResponseSchema,
  RateLimitResponse_RateLimit_Unit as Unit,
} from "#wire/gen/envoy/service/ratelimit/v3/rls_pb.ts";
import { unaryMethod } from "#wire/grpc/service-definition.ts";
import { clusterOn } from "../../../listener/testing/data-path.ts";
import {
  type FilterBench,
  type FilterBenchOptions,
  filterBench,
  script,
} from "../../../listener/testing/filter-bench.ts";
import { grpcServer } from "../../../listener/testing/grpc-server.ts";
import { ask, until } from "../../../listener/testing/requests.ts";
import { CONTINUE } from "../../filter.ts";

const method = unaryMethod(
  "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit",
  RateLimitRequestSchema,
  RateLimitResponseSchema,
);
const type = "type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3";

const limit = (yaml: string): string => `
- name: limit
  typed_config:
    "@type": ${type}.RateLimit
    domain: shop
    ${yaml.includes("timeout:") ? "" : "timeout: 2s"}
    rate_limit_service:
      transport_api_version: V3
      grpc_service: { envoy_grpc: { cluster_name: limits, authority: limits.example }, initial_metadata: [{ key: X-Tenant, value: a }] }
    ${yaml}`;

const routes = (more = ""): string => `
routes:
- match: { prefix: /free }
  route: { cluster: app }
- match: { prefix: / }
  route:
    cluster: app
    rate_limits: [{ actions: [{ request_headers: { header_name: x-user, descriptor_key: user, skip_if_absent: true } }, { destination_cluster: {} }] }]
  ${more}`;

type Answer = MessageInitShape<typeof RateLimitResponseSchema>;
type Service = (
  request: RateLimitRequest,
  call: ServerUnaryCall<RateLimitRequest, RateLimitResponse>,
) => Answer | Promise<Answer>;

async function bench(
  t: TestContext,
  yaml: string,
  answer: Service,
  options: Partial<FilterBenchOptions> = {},
): Promise<FilterBench & { seen: Record<string, unknown>[] }> {
  const seen: Record<string, unknown>[] = [];
  const service = await grpcServer(method, async (request, call) =>
    create(RateLimitResponseSchema, await answer(request, call)),
  );
  t.after(() => service.stop());
  const started = await filterBench({
    filters: limit(yaml),
    routes: routes(),
    upstream: (req, res) => {
      seen.push(req.headers);
      res.end("app");
    },
    ...options,
  });
  started.path.clusters.update(clusterOn("limits", [service.port], { upstreamProtocol: "http2" }));
  t.after(() => started.stop());
  return { ...started, seen };
}

const ok: Answer = { overallCode: Code.OK };
const over: Answer = { overallCode: Code.OVER_LIMIT };

test("the service gets domain and descriptors, and an allowed request goes on with its headers", async (t) => {
  const asked: unknown[] = [];
  const { path, seen, stat } = await bench(t, "", (request, call) => {
    const descriptors = request.descriptors.map(({ entries }) => entries.map(({ key, value }) => `${key}=${value}`));
    asked.push([request.domain, descriptors, call.metadata.get("x-tenant"), call.getHost()]);
    return {
      ...ok,
      requestHeadersToAdd: [{ key: "x-checked", value: "yes" }],
      responseHeadersToAdd: [{ key: "x-told", value: "too" }],
    };
  });
  const answer = await ask(path, "/", { headers: { "x-user": "jason" } });
  assert.deepEqual([answer.status, answer.headers["x-told"]], [200, "too"]);
  assert.deepEqual(asked, [["shop", [["user=jason", "destination_cluster=app"]], ["a"], "limits.example"]]);
  assert.equal(seen[0]?.["x-checked"], "yes");
  assert.equal(stat("cluster.app.ratelimit.ok"), 1);
  assert.equal((await ask(path, "/free")).status, 200);
  assert.equal(asked.length, 1, "a request that no rule describes is not asked about");
});

test("over the limit a request is refused, with the service's body and headers", async (t) => {
  const { path, seen, stat } = await bench(
    t,
    `response_headers_to_add: [{ header: { key: x-by, value: us } }]
    stat_prefix: mine`,
    () => ({ ...over, rawBody: Buffer.from("slow down"), responseHeadersToAdd: [{ key: "x-told", value: "too" }] }),
  );
  const answer = await ask(path, "/");
  const { headers } = answer;
  assert.deepEqual(
    [answer.status, answer.body, headers["x-envoy-ratelimited"], headers["x-told"], headers["x-by"]],
    [429, "slow down", "true", "too", "us"],
  );
  assert.equal(seen.length, 0);
  assert.equal(stat("cluster.app.ratelimit.mine.over_limit"), 1);
  await until(() => path.logs.length === 1);
  const [entry] = path.logs;
  assert.deepEqual([entry?.["responseFlags"], entry?.["responseCodeDetails"]], ["RL", "request_rate_limited"]);
});

test("status, gRPC status and the header of a refusal are configured", async (t) => {
  const { path } = await bench(
    t,
    "rate_limited_status: { code: 503 }\n    rate_limited_as_resource_exhausted: true\n    disable_x_envoy_ratelimited_header: true",
    () => over,
  );
  const answer = await ask(path, "/");
  assert.deepEqual([answer.status, answer.headers["x-envoy-ratelimited"]], [503, undefined]);
  const call = await ask(path, "/", { method: "POST", headers: { "content-type": "application/grpc" } });
  assert.deepEqual([call.status, call.headers["grpc-status"]], [200, "8"]);
});

test("without an answer requests pass, or are refused when that is asked for", async (t) => {
  const fail: Service = () => Promise.reject({ code: 14, details: "down for repair" });
  const open = await bench(t, "", fail);
  assert.equal((await ask(open.path, "/")).status, 200);
  assert.equal(open.stat("cluster.app.ratelimit.error"), 1);
  assert.equal(open.stat("cluster.app.ratelimit.failure_mode_allowed"), 1);
  const closed = await bench(t, "failure_mode_deny: true", fail);
  assert.equal((await ask(closed.path, "/")).status, 500);
  const other = await bench(t, "failure_mode_deny: true\n    status_on_error: { code: 503 }", () => ({}));
  assert.equal((await ask(other.path, "/")).status, 503, "an answer that neither allows nor refuses is none");
  await until(() => closed.path.logs.length === 1);
  const [entry] = closed.path.logs;
  assert.deepEqual([entry?.["responseFlags"], entry?.["responseCodeDetails"]], ["RLSE", "rate_limiter_error"]);
  assert.match(String(entry?.["cause"]), /the rate limit service limits cannot be asked: down for repair/);
});

test("a service that is slow, gone or not known is no answer", async (t) => {
  const slow = await bench(t, "failure_mode_deny: true\n    timeout: 0.03s", () => new Promise(() => {}));
  assert.equal((await ask(slow.path, "/")).status, 500);
  await until(() => slow.path.logs.length === 1);
  assert.match(String(slow.path.logs[0]?.["cause"]), /no answer within 30 ms/);
  slow.path.clusters.update(clusterOn("limits", [1], { upstreamProtocol: "http2" }));
  assert.equal((await ask(slow.path, "/")).status, 500);
  slow.path.clusters.remove("limits");
  assert.equal((await ask(slow.path, "/")).status, 500);
  await until(() => slow.path.logs.length === 3);
  assert.match(String(slow.path.logs[2]?.["cause"]), /the cluster "limits" does not exist/);
});

test("x-ratelimit headers tell the limit of which least is left, and all windows", async (t) => {
  const { path } = await bench(t, "enable_x_ratelimit_headers: DRAFT_VERSION_03", () => ({
    ...ok,
    statuses: [
      {
        currentLimit: { name: "first", requestsPerUnit: 10, unit: Unit.MINUTE },
        limitRemaining: 8,
        durationUntilReset: { seconds: 50n },
      },
      {
        currentLimit: { requestsPerUnit: 5, unit: Unit.HOUR },
        limitRemaining: 2,
        durationUntilReset: { seconds: 600n },
      },
      {},
    ],
  }));
  const { headers } = await ask(path, "/");
  assert.deepEqual(
    ["limit", "remaining", "reset"].map((name) => headers[`x-ratelimit-${name}`]),
    ['5, 10;w=60;name="first", 5;w=3600', "2", "600"],
  );
});

test("what the service says of a request is metadata for the filters behind", async (t) => {
  let found: unknown;
  const service = await grpcServer(method, () =>
    create(RateLimitResponseSchema, { ...ok, dynamicMetadata: { tier: "gold" } }),
  );
  const { path, stop } = await filterBench({
    filters: limit(""),
    filtersBehind: [
      script(() => ({
        onRequestHeaders: (stream) => {
          found = stream.metadata("envoy.filters.http.ratelimit")?.["tier"];
          return CONTINUE;
        },
      })),
    ],
    routes: routes(),
    upstream: (_req, res) => void res.end(),
  });
  path.clusters.update(clusterOn("limits", [service.port], { upstreamProtocol: "http2" }));
  t.after(() => {
    stop();
    service.stop();
  });
  await ask(path, "/");
  assert.equal(found, "gold");
});

test("a route has a domain of its own, and says what the virtual host's rules are for it", async (t) => {
  const asked: string[] = [];
  const own = (yaml: string): string =>
    `typed_per_filter_config: { limit: { "@type": ${type}.RateLimitPerRoute, ${yaml} } }`;
  const { path } = await bench(
    t,
    "",
    (request) => {
      asked.push(`${request.domain}: ${request.descriptors.map(({ entries }) => entries[0]?.value).join(", ")}`);
      return ok;
    },
    {
      routes: `
routes:
- match: { prefix: /own }
  route: { cluster: app, rate_limits: [{ actions: [{ generic_key: { descriptor_value: route } }] }] }
  ${own("domain: mine, vh_rate_limits: INCLUDE")}
- match: { prefix: /none }
  route: { cluster: app }
  ${own("vh_rate_limits: IGNORE")}
- match: { prefix: / }
  route: { cluster: app }
rate_limits: [{ actions: [{ generic_key: { descriptor_value: host } }] }]`,
    },
  );
  for (const target of ["/own", "/none", "/"]) assert.equal((await ask(path, target)).status, 200);
  assert.deepEqual(asked, ["mine: route, host", "shop: host"]);
});

test("a client that leaves takes its question back", async (t) => {
  let cancelled = 0;
  let isAsked = false;
  const { path, seen } = await bench(t, "timeout: 60s", (_request, call) => {
    isAsked = true;
    call.on("cancelled", () => cancelled++);
    return new Promise(() => {});
  });
  const leaving = new AbortController();
  const asked = ask(path, "/", { signal: leaving.signal });
  await until(() => isAsked);
  leaving.abort();
  await assert.rejects(asked);
  path.listeners.destroy();
  await until(() => cancelled === 1);
  assert.equal(seen.length, 0);
});

test("settings that name no domain or no service are refused", async () => {
  const refusal = (yaml: string): Promise<string> =>
    filterBench({
      filters: `[{ name: limit, typed_config: { "@type": ${type}.RateLimit, ${yaml} } }]`,
      upstream: () => {},
    }).then(() => "accepted", String);
  const service = "rate_limit_service: { grpc_service: { envoy_grpc: { cluster_name: c } } }";
  assert.match(await refusal(service), /domain: is missing/);
  assert.match(await refusal("domain: a"), /grpc_service: names no service/);
  assert.match(await refusal(`domain: a, request_type: some, ${service}`), /"some" is no type of requests/);
  const google = "rate_limit_service: { grpc_service: { google_grpc: { target_uri: a, stat_prefix: b } } }";
  assert.match(await refusal(`domain: a, ${google}`), /without a cluster, is not supported/);
});
