import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { plainEndpointSet } from "../../../config/cluster.ts";
import { clusterConfig, endpointConfig } from "../../../listener/testing/data-path.ts";
import { type FilterBench, type FilterBenchOptions, filterBench } from "../../../listener/testing/filter-bench.ts";
import { ask, until } from "../../../listener/testing/requests.ts";

const check = (yaml: string): string => `
- name: check
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck
    headers: [{ name: ":path", string_match: { exact: /healthz } }]
    ${yaml}`;

async function bench(
  t: TestContext,
  yaml: string,
  options: Partial<FilterBenchOptions> = {},
): Promise<FilterBench & { reached(): number }> {
  let reached = 0;
  const started = await filterBench({
    filters: check(yaml),
    upstream: (_req, res) => {
      reached++;
      res.writeHead(reached === 1 ? 503 : 200).end("app");
    },
    path: { node: { id: "a", cluster: "shop.default" } },
    ...options,
  });
  t.after(() => started.stop());
  return { ...started, reached: () => reached };
}

test("this proxy answers for itself, and says that it fails while it drains", async (t) => {
  const { path, reached } = await bench(t, "pass_through_mode: false");
  const answer = await ask(path, "/healthz");
  assert.deepEqual([answer.status, answer.headers["x-envoy-upstream-healthchecked-cluster"]], [200, "shop.default"]);
  assert.equal(reached(), 0);
  assert.equal((await ask(path, "/other")).status, 503, "other requests reach the application");
  path.listeners.startDraining();
  const draining = await ask(path, "/healthz");
  assert.deepEqual([draining.status, draining.headers["x-envoy-immediate-health-check-fail"]], [503, "true"]);
  await until(() => path.logs.length === 3);
  assert.deepEqual(
    [0, 2].map((i) => [path.logs[i]?.["responseFlags"], path.logs[i]?.["responseCodeDetails"]]),
    [
      ["-", "health_check_ok"],
      ["LH", "health_check_failed"],
    ],
  );
});

test("clusters must have their share of healthy hosts", async (t) => {
  const { path } = await bench(
    t,
    "pass_through_mode: false\n    cluster_min_healthy_percentages: { half: { value: 50 }, empty: { value: 0 } }",
  );
  const half = (first: "healthy" | "unhealthy"): void =>
    path.clusters.update(
      clusterConfig({
        name: "half",
        endpoints: plainEndpointSet("half", [
          endpointConfig(1, { health: first }),
          endpointConfig(2, { health: "unhealthy" }),
        ]),
      }),
    );
  assert.equal((await ask(path, "/healthz")).status, 503, "a cluster that is not there has no healthy host");
  half("healthy");
  assert.equal((await ask(path, "/healthz")).status, 200);
  half("unhealthy");
  assert.equal((await ask(path, "/healthz")).status, 503);
  await until(() => path.logs.length === 3);
  assert.equal(path.logs[2]?.["cause"], "0 of 2 hosts of half are healthy");
});

test("the application may answer, and its answer is kept for a while", async (t) => {
  let now = 1000;
  const { path, reached } = await bench(t, "pass_through_mode: true\n    cache_time: 2s", {
    path: { now: () => now },
  });
  assert.equal((await ask(path, "/healthz")).status, 503);
  assert.equal((await ask(path, "/healthz")).status, 503);
  assert.equal(reached(), 1);
  now += 2000;
  assert.equal((await ask(path, "/healthz")).status, 200);
  assert.equal(reached(), 2);
});

test("settings that contradict each other are refused", async () => {
  const refusal = (yaml: string): Promise<string> =>
    filterBench({ filters: check(yaml), upstream: () => {} }).then(() => "accepted", String);
  assert.match(await refusal(""), /pass_through_mode: is missing/);
  assert.match(await refusal("pass_through_mode: false\n    cache_time: 1s"), /has nothing to keep/);
  const percentages = "cluster_min_healthy_percentages: { a: { value: 1 } }";
  assert.match(await refusal(`pass_through_mode: true\n    ${percentages}`), /does not go with pass_through_mode/);
});
