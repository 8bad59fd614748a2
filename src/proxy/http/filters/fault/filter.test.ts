import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { filterBench } from "../../../listener/testing/filter-bench.ts";
import { ask, until } from "../../../listener/testing/requests.ts";

const fault = (yaml: string): string => `
- name: fault
  typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault, ${yaml} }`;

const routeFault = (yaml: string): string => `
routes:
- match: { prefix: /faulty }
  route: { cluster: app }
  typed_per_filter_config:
    fault: { "@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault, ${yaml} }
- match: { prefix: / }
  route: { cluster: app }`;

const always = "percentage: { numerator: 100 }";

async function bench(
  t: { after: (stop: () => void) => void },
  options: Partial<Parameters<typeof filterBench>[0]>,
): Promise<Awaited<ReturnType<typeof filterBench>>> {
  const started = await filterBench({ filters: fault(""), upstream: (_req, res) => void res.end("app"), ...options });
  t.after(() => started.stop());
  return started;
}

test("a route aborts with its status, the flag FI, and Envoy's details and body", async (t) => {
  const { path, stat } = await bench(t, { routes: routeFault(`abort: { http_status: 555, ${always} }`) });
  const answer = await ask(path, "/faulty");
  assert.deepEqual([answer.status, answer.body], [555, "fault filter abort"]);
  assert.equal((await ask(path, "/")).status, 200);
  await until(() => path.logs.length === 2);
  const [entry] = path.logs;
  assert.deepEqual([entry?.["responseFlags"], entry?.["responseCodeDetails"]], ["FI", "fault_filter_abort"]);
  assert.match(String(entry?.["cause"]), /a fault is injected: the route .* aborts 100 % of its requests/);
  assert.equal(stat("http.test.fault.aborts_injected"), 1);
  assert.equal(stat("http.test.fault.active_faults"), 0);
});

test("an aborted gRPC call is answered in gRPC, with the status given or the one that stands for HTTP's", async (t) => {
  const call = { method: "POST", headers: { "content-type": "application/grpc" } };
  const { path } = await bench(t, { routes: routeFault(`abort: { grpc_status: 14, ${always} }`) });
  const answer = await ask(path, "/faulty", call);
  assert.deepEqual(
    [answer.status, answer.headers["grpc-status"], answer.headers["grpc-message"]],
    [200, "14", "fault filter abort"],
  );
  assert.equal((await ask(path, "/faulty")).status, 200, "a call that is not gRPC gets 200, as with Envoy");
  const http = await bench(t, { routes: routeFault(`abort: { http_status: 429, ${always} }`) });
  assert.equal((await ask(http.path, "/faulty", call)).headers["grpc-status"], "14");
});

test("a client of @grpc/grpc-js sees the status of the fault", async (t) => {
  const { path } = await bench(t, { routes: routeFault(`abort: { grpc_status: 8, ${always} }`) });
  const client = new Client(`127.0.0.1:${path.port()}`, credentials.createInsecure());
  t.after(() => client.close());
  const bytes = (data: Buffer): Buffer => data;
  const failure = await new Promise<ServiceError | null>((resolve) => {
    client.makeUnaryRequest("/faulty/Call", bytes, bytes, Buffer.from("x"), (error) => resolve(error));
  });
  assert.deepEqual([failure?.code, failure?.details], [8, "fault filter abort"]);
});

test("a delay holds the request back before the upstream sees it, with the flag DI", async (t) => {
  let seenAt = 0;
  const { path, stat } = await bench(t, {
    filters: fault(`delay: { fixed_delay: 0.05s, ${always} }`),
    upstream: (_req, res) => {
      seenAt = performance.now();
      res.end();
    },
  });
  const started = performance.now();
  assert.equal((await ask(path, "/")).status, 200);
  assert.ok(seenAt - started >= 45, `${seenAt - started} ms`);
  await until(() => path.logs.length === 1);
  assert.equal(path.logs[0]?.["responseFlags"], "DI");
  assert.equal(stat("http.test.fault.delays_injected"), 1);
});

test("a request is delayed first and then aborted", async (t) => {
  const { path } = await bench(t, {
    filters: fault(`delay: { fixed_delay: 0.02s, ${always} }, abort: { http_status: 503, ${always} }`),
  });
  const started = performance.now();
  assert.equal((await ask(path, "/")).status, 503);
  assert.ok(performance.now() - started >= 18);
  await until(() => path.logs.length === 1);
  assert.equal(path.logs[0]?.["responseFlags"], "DI,FI");
});

test("the share of requests is drawn, in hundredths, ten-thousandths or millionths", async (t) => {
  const share = async (percentage: string, random: number): Promise<number> => {
    const { path } = await bench(t, {
      filters: fault(`abort: { http_status: 503, percentage: ${percentage} }`),
      path: { random: () => random },
    });
    return (await ask(path, "/")).status;
  };
  assert.equal(await share("{ numerator: 10 }", 0.09), 503);
  assert.equal(await share("{ numerator: 10 }", 0.1), 200);
  assert.equal(await share("{ numerator: 1, denominator: TEN_THOUSAND }", 0.00009), 503);
  assert.equal(await share("{ numerator: 1, denominator: TEN_THOUSAND }", 0.0001), 200);
  assert.equal(await share("{ numerator: 1, denominator: MILLION }", 0.0000009), 503);
  assert.equal(await share("{}", 0), 200);
});

test("requests ask for their fault in headers, and may only lower its share", async (t) => {
  const { path } = await bench(t, {
    filters: fault(
      `delay: { header_delay: {}, ${always} }, abort: { header_abort: {}, percentage: { numerator: 60 } }`,
    ),
    path: { random: () => 0.5 },
  });
  const status = async (headers: Record<string, string>): Promise<unknown> =>
    (await ask(path, "/", { headers })).status;
  assert.equal(await status({}), 200);
  assert.equal(await status({ "x-envoy-fault-abort-request": "418" }), 418);
  assert.equal(await status({ "x-envoy-fault-abort-request": "99" }), 200);
  assert.equal(
    await status({ "x-envoy-fault-abort-request": "418", "x-envoy-fault-abort-request-percentage": "40" }),
    200,
  );
  assert.equal(
    await status({ "x-envoy-fault-abort-request": "418", "x-envoy-fault-abort-request-percentage": "90" }),
    418,
    "at most the configured share",
  );
  const grpc = { "x-envoy-fault-abort-grpc-request": "5", "content-type": "application/grpc" };
  assert.equal((await ask(path, "/", { method: "POST", headers: grpc })).headers["grpc-status"], "5");
  const started = performance.now();
  assert.equal(await status({ "x-envoy-fault-delay-request": "30" }), 200);
  assert.ok(performance.now() - started >= 28);
});

test("only the requests that are meant get a fault: by headers, cluster and node", async (t) => {
  const { path } = await bench(t, {
    filters: fault(
      `abort: { http_status: 503, ${always} }, upstream_cluster: app, downstream_nodes: [n1, n2],
       headers: [{ name: x-user, string_match: { exact: jason } }]`,
    ),
    routes: `
routes:
- { match: { prefix: /other }, direct_response: { status: 204 } }
- { match: { prefix: / }, route: { cluster: app } }`,
  });
  const meant = { "x-user": "jason", "x-envoy-downstream-service-node": "n2" };
  const status = async (target: string, headers: Record<string, string>): Promise<number> =>
    (await ask(path, target, { headers })).status;
  assert.equal(await status("/", meant), 503);
  assert.equal(await status("/other", meant), 204);
  assert.equal(await status("/", { ...meant, "x-user": "mary" }), 200);
  assert.equal(await status("/", { ...meant, "x-envoy-downstream-service-node": "n3" }), 200);
});

test("no more faults are active at a time than are allowed", async (t) => {
  const { path, stat } = await bench(t, {
    filters: fault(`delay: { fixed_delay: 2s, ${always} }, max_active_faults: 1`),
  });
  const slow = ask(path, "/");
  await until(() => stat("http.test.fault.active_faults") === 1);
  assert.equal((await ask(path, "/")).status, 200);
  assert.equal(stat("http.test.fault.active_faults"), 1, "the first one still waits");
  assert.equal(stat("http.test.fault.faults_overflow"), 1);
  await slow;
  assert.equal(stat("http.test.fault.active_faults"), 0);
});

test("a response is slowed down to its rate, whole and in order", async (t) => {
  const body = Array.from({ length: 16 * 1024 }, (_, i) => String.fromCharCode(97 + (i % 26))).join("");
  const { path, stat } = await bench(t, {
    filters: fault(`response_rate_limit: { fixed_limit: { limit_kbps: 64 }, ${always} }`),
    upstream: (_req, res) => void res.end(body),
  });
  const started = performance.now();
  const answer = await ask(path, "/");
  const took = performance.now() - started;
  assert.equal(answer.body, body);
  assert.ok(took > 120 && took < 10_000, `16 KiB at 64 KiB/s took ${took} ms`);
  assert.equal(stat("http.test.fault.response_rl_injected"), 1);
});

test("a client that leaves during a delay ends the fault", async (t) => {
  let reached = 0;
  const { path, stat } = await bench(t, {
    filters: fault(`delay: { fixed_delay: 60s, ${always} }`),
    upstream: (_req, res) => {
      reached++;
      res.end();
    },
  });
  const leaving = new AbortController();
  const asked = ask(path, "/", { signal: leaving.signal });
  await until(() => stat("http.test.fault.active_faults") === 1);
  leaving.abort();
  await assert.rejects(asked);
  await until(() => stat("http.test.fault.active_faults") === 0);
  assert.equal(reached, 0);
});

test("faults are counted by the cluster that the client says it is of, for a bounded number of names", async (t) => {
  const { path, stat } = await bench(t, { filters: fault(`abort: { http_status: 503, ${always} }`) });
  await ask(path, "/", { headers: { "x-envoy-downstream-service-cluster": "shop" } });
  await ask(path, "/", { headers: { "x-envoy-downstream-service-cluster": "no name" } });
  assert.equal(stat("http.test.fault.shop.aborts_injected"), 1);
  assert.equal(stat("http.test.fault.aborts_injected"), 2);
});

test("settings that name nothing, or what cannot be, are refused", async () => {
  const refusal = (yaml: string): Promise<unknown> =>
    filterBench({ filters: fault(yaml), upstream: () => {} }).then(
      () => "accepted",
      (error: unknown) => String(error),
    );
  assert.match(String(await refusal(`abort: { ${always} }`)), /abort: names no status/);
  assert.match(String(await refusal(`abort: { http_status: 99 }`)), /99 is not a status/);
  assert.match(String(await refusal(`delay: { ${always} }`)), /delay: names no delay/);
  assert.match(String(await refusal("response_rate_limit: { fixed_limit: {} }")), /limit_kbps: is below 1/);
});
