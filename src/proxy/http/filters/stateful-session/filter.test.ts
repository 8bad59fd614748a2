import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { plainEndpointSet } from "../../../config/cluster.ts";
import { byTurns, clusterConfig, endpointConfig, httpServer } from "../../../listener/testing/data-path.ts";
import { type FilterBench, type FilterBenchOptions, filterBench } from "../../../listener/testing/filter-bench.ts";
import { type Answer, ask, until } from "../../../listener/testing/requests.ts";

const type = "type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3";
const states = "type.googleapis.com/envoy.extensions.http.stateful_session";
const cookie = (yaml = ""): string =>
  `session_state: { name: state, typed_config: { "@type": ${states}.cookie.v3.CookieBasedSessionState, cookie: { name: host, ${yaml} } } }`;
const header = `session_state: { name: state, typed_config: { "@type": ${states}.header.v3.HeaderBasedSessionState, name: X-Host } }`;

const filters = (yaml: string): string =>
  `[{ name: session, typed_config: { "@type": ${type}.StatefulSession, ${yaml} } }]`;

interface Bench extends FilterBench {
  readonly ports: readonly number[];
  setHealth(port: number, health: "healthy" | "unhealthy"): void;
}

/** Two hosts that tell their port. */
async function bench(t: TestContext, yaml: string, options: Partial<FilterBenchOptions> = {}): Promise<Bench> {
  const started = await filterBench({ filters: filters(yaml), upstream: () => {}, ...options });
  const serving = await Promise.all(
    [0, 1].map(async () => {
      const server = await httpServer((req, res) => void res.end(String(req.socket.localPort)));
      t.after(() => server.stop());
      return server.port;
    }),
  );
  t.after(() => started.stop());
  const update = (unhealthy: number | null): void =>
    started.path.clusters.update(
      clusterConfig({
        name: "app",
        // Health counts at once.
        loadBalancing: byTurns,
        endpoints: plainEndpointSet(
          "app",
          serving.map((port) => endpointConfig(port, { health: port === unhealthy ? "unhealthy" : "healthy" })),
        ),
      }),
    );
  update(null);
  return { ...started, ports: serving, setHealth: (port, health) => update(health === "healthy" ? null : port) };
}

const encoded = (port: number): string => Buffer.from(`127.0.0.1:${port}`).toString("base64");

function portsOf(answers: readonly Answer[]): Set<string> {
  return new Set(answers.map(({ body }) => body));
}

const times = (count: number, run: () => Promise<Answer>): Promise<Answer[]> =>
  Promise.all(Array.from({ length: count }, run));

test("a client gets a cookie with its host, and comes back to that host", async (t) => {
  const { path, ports } = await bench(t, cookie("path: /shop, ttl: 120s"));
  const first = await ask(path, "/shop/cart");
  const port = Number(first.body);
  assert.deepEqual(first.headers["set-cookie"], [`host="${encoded(port)}"; Max-Age=120; Path=/shop; HttpOnly`]);
  for (const asked of ports) {
    const headers = { cookie: `a=b; host="${encoded(asked)}"` };
    const answers = await times(8, () => ask(path, "/shop", { headers }));
    assert.deepEqual([...portsOf(answers)], [String(asked)]);
    assert.ok(
      answers.every((answer) => answer.headers["set-cookie"] === undefined),
      "nothing new to tell",
    );
  }
  const elsewhere = await times(16, () => ask(path, "/shopping", { headers: { cookie: `host=${encoded(port)}` } }));
  assert.equal(portsOf(elsewhere).size, 2, "a cookie of another path");
});

test("a host that cannot be used is replaced, and the client is told", async (t) => {
  const { path, ports, setHealth } = await bench(t, cookie());
  const [one = 0, two = 0] = ports;
  const headers = { cookie: `host=${encoded(one)}` };
  assert.equal((await ask(path, "/", { headers })).body, String(one));
  setHealth(one, "unhealthy");
  const moved = await ask(path, "/", { headers });
  assert.equal(moved.body, String(two));
  assert.deepEqual(moved.headers["set-cookie"], [`host="${encoded(two)}"; HttpOnly`]);
  const stranger = await ask(path, "/", { headers: { cookie: `host=${encoded(1)}` } });
  assert.equal(stranger.status, 200, "an address that is no host of the cluster is not dialled");
});

test("with a strict session no other host will do", async (t) => {
  const { path, ports, setHealth } = await bench(t, `${cookie()}, strict: true`);
  const headers = { cookie: `host=${encoded(ports[0] ?? 0)}` };
  setHealth(ports[0] ?? 0, "unhealthy");
  assert.equal((await ask(path, "/", { headers })).status, 503);
  await until(() => path.logs.length === 1);
  assert.equal(path.logs[0]?.["responseFlags"], "UH");
});

test("a session may be in a header, and every response tells it", async (t) => {
  const { path, ports } = await bench(t, header);
  for (const port of ports) {
    const answer = await ask(path, "/", { headers: { "x-host": encoded(port) } });
    assert.deepEqual([answer.body, answer.headers["x-host"]], [String(port), encoded(port)]);
  }
});

test("a route has a session of its own, or none", async (t) => {
  const own = (yaml: string): string =>
    `typed_per_filter_config: { session: { "@type": ${type}.StatefulSessionPerRoute, ${yaml} } }`;
  const { path } = await bench(t, cookie(), {
    routes: `
routes:
- { match: { prefix: /none }, route: { cluster: app }, ${own("disabled: true")} }
- { match: { prefix: /header }, route: { cluster: app }, ${own(`stateful_session: { ${header} }`)} }
- { match: { prefix: / }, route: { cluster: app } }`,
  });
  assert.equal((await ask(path, "/none")).headers["set-cookie"], undefined);
  assert.notEqual((await ask(path, "/header")).headers["x-host"], undefined);
  assert.notEqual((await ask(path, "/")).headers["set-cookie"], undefined);
});

test("what is answered here names no host, and other kinds of state are refused", async (t) => {
  const { path } = await bench(t, cookie(), {
    routes: "routes: [{ match: { prefix: / }, direct_response: { status: 200 } }]",
  });
  assert.equal((await ask(path, "/")).headers["set-cookie"], undefined);
  const other = `session_state: { name: s, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router } }`;
  await assert.rejects(
    filterBench({ filters: filters(other), upstream: () => {} }),
    /session state in .*Router is not supported/,
  );
});
