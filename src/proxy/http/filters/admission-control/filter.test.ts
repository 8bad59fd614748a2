import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type FilterBench, filterBench } from "../../../listener/testing/filter-bench.ts";
import { ask, until } from "../../../listener/testing/requests.ts";

const control = (yaml: string): string => `
- name: control
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.admission_control.v3.AdmissionControl
    ${yaml}`;
const any = "success_criteria: {}";

interface Bench extends FilterBench {
  /** Asks the upstream for statuses, one after the other, and gives what came. */
  statuses(...asked: number[]): Promise<number[]>;
  advance(ms: number): void;
}

async function bench(t: TestContext, yaml: string, random = 0): Promise<Bench> {
  let now = 1_000_000;
  const started = await filterBench({
    filters: control(yaml),
    upstream: (req, res) => void res.writeHead(Number(req.url?.slice(1))).end(),
    path: { now: () => now, random: () => random },
  });
  t.after(() => started.stop());
  return {
    ...started,
    statuses: async (...asked) => {
      const got: number[] = [];
      for (const [i, status] of asked.entries()) {
        const before = started.path.logs.length;
        got.push((await ask(started.path, `/${status}`)).status);
        await until(() => started.path.logs.length === before + 1);
        assert.ok(i >= 0);
      }
      return got;
    },
    advance: (ms) => (now += ms),
  };
}

test("while requests succeed none is refused; when too few do, a share is, and it ends with the window", async (t) => {
  const { statuses, advance, stat, path } = await bench(t, `${any}\n    sampling_window: 10s`, 0.4);
  assert.deepEqual(await statuses(200, 200, 404), [200, 200, 404]);
  // 3 of 6 succeed: (6 - 3 / 0.95) / 7 = 0.406 are refused.
  assert.deepEqual(await statuses(500, 502, 503), [500, 502, 503]);
  assert.deepEqual(await statuses(200), [503]);
  assert.equal(path.logs.at(-1)?.["responseCodeDetails"], "denied_by_admission_control");
  assert.match(String(path.logs.at(-1)?.["cause"]), /too few requests succeed: 41 % are refused/);
  advance(10_000);
  assert.deepEqual(await statuses(200), [200]);
  assert.deepEqual(
    ["rq_success", "rq_failure", "rq_rejected"].map((name) => stat(`http.test.admission_control.${name}`)),
    [4, 3, 1],
  );
});

test("the share has a bound, and needs a number of requests a second", async (t) => {
  const failing = [500, 500, 500, 500, 500, 500, 500, 500, 500, 500];
  const bounded = await bench(t, `${any}\n    max_rejection_probability: { default_value: { value: 30 } }`, 0.31);
  assert.deepEqual(await bounded.statuses(...failing), failing);
  const rare = await bench(
    t,
    `${any}\n    sampling_window: 10s\n    rps_threshold: { default_value: 2, runtime_key: x }`,
  );
  assert.deepEqual(await rare.statuses(...failing), failing);
  const off = await bench(t, `${any}\n    enabled: { default_value: false, runtime_key: x }`);
  assert.deepEqual(await off.statuses(...failing), failing);
});

test("what a success is can be said, for HTTP and for gRPC", async (t) => {
  const { statuses, stat } = await bench(
    t,
    "success_criteria: { http_criteria: { http_success_status: [{ start: 200, end: 300 }] } }\n    sr_threshold: { default_value: { value: 10 } }",
    0.999,
  );
  await statuses(204, 300, 404);
  assert.equal(stat("http.test.admission_control.rq_success"), 1);
  assert.equal(stat("http.test.admission_control.rq_failure"), 2);
  const grpc = await filterBench({
    filters: control(any),
    upstream: (req, res) => {
      const status = req.url?.slice(1) ?? "";
      res.writeHead(200, { "content-type": "application/grpc", "grpc-status": status, "content-length": 0 }).end();
    },
    path: { random: () => 0.999 },
  });
  t.after(() => grpc.stop());
  for (const status of [0, 5, 14, 4]) {
    await ask(grpc.path, `/${status}`, { method: "POST", headers: { "content-type": "application/grpc" } });
  }
  await until(() => grpc.path.logs.length === 4);
  assert.equal(grpc.stat("http.test.admission_control.rq_success"), 2);
  assert.equal(grpc.stat("http.test.admission_control.rq_failure"), 2);
});
