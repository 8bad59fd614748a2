// Rules of routes as xDS gives them, seen on the wire: mirrors, time limits, retries, hosts, headers and upgrades.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { after, before, beforeEach, test } from "node:test";
import { type ClusterConfig, plainEndpointSet } from "../config/cluster.ts";
import { Runtime } from "../config/runtime.ts";
import { routeConfig } from "../config/testing/resources.ts";
import {
  balancedBy,
  chain,
  clientAddress,
  clusterOn,
  dataPath,
  endpointConfig,
  httpFilter,
  httpServer,
  listenerConfig,
  managerConfig,
  type TestDataPath,
} from "./testing/data-path.ts";
import { rawServer } from "./testing/raw-peers.ts";
import { ask, sendRaw, until } from "./testing/requests.ts";

interface Seen {
  readonly url: string;
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

type Answering = (req: IncomingMessage, res: ServerResponse, attempt: number) => void;

let app: Awaited<ReturnType<typeof httpServer>>;
let shadow: Awaited<ReturnType<typeof httpServer>>;
let seen: Seen[] = [];
let mirrored: Seen[] = [];
let answer: Answering = (_req, res) => res.end("app");

function recording(list: () => Seen[], respond: () => Answering): (req: IncomingMessage, res: ServerResponse) => void {
  return (req, res) => {
    const chunks: Buffer[] = [];
    req.on("data", (chunk: Buffer) => chunks.push(chunk));
    req.on("error", () => {});
    req.on("end", () => {
      const body = Buffer.concat(chunks).toString();
      list().push({ url: req.url ?? "", method: req.method ?? "", headers: req.headers, body });
      respond()(req, res, list().length);
    });
  };
}

before(async () => {
  app = await httpServer(
    recording(
      () => seen,
      () => answer,
    ),
  );
  shadow = await httpServer(
    recording(
      () => mirrored,
      () => (_req, res) => res.writeHead(500).end("thrown away"),
    ),
  );
});
beforeEach(() => {
  seen = [];
  mirrored = [];
  answer = (_req, res) => res.end("app");
});
after(() => {
  app.stop();
  shadow.stop();
});

interface Setting {
  readonly table?: string;
  readonly host?: string;
  readonly manager?: Parameters<typeof managerConfig>[1];
  readonly direction?: 1 | 2;
  readonly random?: () => number;
  readonly runtime?: Runtime;
}

/** A data path with these routes (YAML, one flow mapping each) to the clusters `app`, `other` and `shadow`. */
async function routed(routes: readonly string[], setting: Setting = {}): Promise<TestDataPath> {
  const { table = "", host = "", manager = {}, direction = 2, random, runtime } = setting;
  const yaml = `{ name: r, ${table} virtual_hosts: [{ name: v, domains: ["*"], ${host} routes: [${routes.join()}] }] }`;
  const path = dataPath({ ...(random !== undefined && { random }), ...(runtime !== undefined && { runtime }) });
  path.clusters.update(clusterOn("app", [app.port]));
  path.clusters.update(clusterOn("other", [app.port]));
  path.clusters.update(clusterOn("shadow", [shadow.port]));
  const config = managerConfig(routeConfig(yaml), manager);
  await path.listeners.update(listenerConfig([chain([httpFilter(config)])], { direction }));
  return path;
}

const post = { method: "POST", headers: { "content-type": "text/plain" } };

test("a mirror gets the whole request under its shadow name, and its answer changes nothing", async () => {
  const path = await routed([
    "{ match: { prefix: / }, route: { cluster: app, request_mirror_policies: [{ cluster: shadow }, { cluster: nowhere }] } }",
  ]);
  const result = await ask(path, "/x?y=1", { ...post, headers: { ...post.headers, host: "reviews:9080" } }, "body");
  assert.equal(result.status, 200);
  assert.equal(result.body, "app");
  await until(() => mirrored.length === 1);
  assert.equal(mirrored[0]?.headers.host, "reviews-shadow:9080");
  assert.equal(mirrored[0]?.url, "/x?y=1");
  assert.equal(mirrored[0]?.body, "body");
  assert.equal(seen[0]?.headers.host, "reviews:9080");
  assert.equal(seen[0]?.body, "body");
  await until(() => path.clusters.get("shadow")?.endpoints[0]?.activeRequests === 0);
  path.stop();
});

test("a mirror takes its share of the requests", async () => {
  let draw = 0.05;
  const path = await routed(
    [
      "{ match: { prefix: / }, route: { cluster: app, request_mirror_policies: [{ cluster: shadow, runtime_fraction: { default_value: { numerator: 10 } } }] } }",
    ],
    { random: () => draw },
  );
  await ask(path, "/one");
  await until(() => mirrored.length === 1);
  draw = 0.5;
  await ask(path, "/two");
  await ask(path, "/three");
  draw = 0.05;
  await ask(path, "/four");
  await until(() => mirrored.length === 2);
  assert.deepEqual(
    mirrored.map(({ url }) => url),
    ["/one", "/four"],
  );
  path.stop();
});

test("a mirror that does not answer is given up with the route's timeout", async () => {
  const silent = await httpServer(() => {});
  const path = await routed([
    "{ match: { prefix: / }, route: { cluster: app, timeout: 0.05s, request_mirror_policies: [{ cluster: silent }] } }",
  ]);
  path.clusters.update(clusterOn("silent", [silent.port]));
  assert.equal((await ask(path, "/")).status, 200);
  const endpoint = path.clusters.get("silent")?.endpoints[0];
  await until(() => endpoint?.activeRequests === 0 && endpoint.activeConnections === 0);
  path.stop();
  silent.stop();
});

test("a trusted client sets the timeout of its request; an edge takes the header off", async () => {
  answer = () => {};
  const route = "{ match: { prefix: / }, route: { cluster: app, timeout: 60s } }";
  const asked = { headers: { "x-envoy-upstream-rq-timeout-ms": "30" } };
  const inside = await routed([route]);
  const result = await ask(inside, "/", asked);
  assert.equal(result.status, 504);
  assert.match(String(inside.logs[0]?.["cause"]), /timeout of 30 ms/);
  assert.equal(seen[0]?.headers["x-envoy-upstream-rq-timeout-ms"], undefined);
  assert.equal(seen[0]?.headers["x-envoy-expected-rq-timeout-ms"], "30");
  inside.stop();
  answer = (_req, res) => setTimeout(() => res.end("late"), 60);
  const edge = await routed([route], { manager: { client: clientAddress({ useRemoteAddress: true }) } });
  assert.equal((await ask(edge, "/", asked)).body, "late");
  assert.equal(seen[1]?.headers["x-envoy-expected-rq-timeout-ms"], "60000");
  edge.stop();
});

test("grpc-timeout is a deadline within the route's bound, and its end is gRPC's own status", async () => {
  answer = () => {};
  const route = (limits: string): string =>
    `{ match: { prefix: / }, route: { cluster: app, timeout: 0s, max_stream_duration: { ${limits} } } }`;
  const call = (timeout: string) => ({
    method: "POST",
    headers: { "content-type": "application/grpc", "grpc-timeout": timeout },
  });
  const path = await routed([route("grpc_timeout_header_max: 0s")]);
  const result = await ask(path, "/p.S/M", call("20m"));
  assert.equal(result.headers["grpc-status"], "4");
  assert.equal(path.logs[0]?.["responseCodeDetails"], "max_duration_timeout");
  assert.match(String(path.logs[0]?.["cause"]), /grpc-timeout, 20 ms/);
  path.stop();
  const bounded = await routed([route("grpc_timeout_header_max: 0.03s, grpc_timeout_header_offset: 0.01s")]);
  assert.equal((await ask(bounded, "/p.S/M", call("10S"))).headers["grpc-status"], "4");
  assert.match(String(bounded.logs[0]?.["cause"]), /, 30 ms/);
  assert.equal((await ask(bounded, "/p.S/M", call("25m"))).headers["grpc-status"], "4");
  assert.match(String(bounded.logs[1]?.["cause"]), /, 15 ms/);
  bounded.stop();
});

test("max_stream_duration ends a stream whose response has begun", async () => {
  answer = (_req, res) => void res.write("begun");
  const path = await routed([
    "{ match: { prefix: / }, route: { cluster: app, timeout: 0s, max_stream_duration: { max_stream_duration: 0.05s } } }",
  ]);
  await assert.rejects(ask(path, "/"));
  await until(() => path.logs.length === 1);
  assert.equal(path.logs[0]?.["responseCodeDetails"], "max_duration_timeout");
  path.stop();
});

/** The cluster `app` with these settings of its upstream connections. */
function appWith(overrides: Partial<ClusterConfig>): ClusterConfig {
  return clusterOn("app", [app.port], overrides);
}

test("a cluster's max_stream_duration bounds every attempt, and ends a response that has begun", async (t) => {
  answer = (_req, res, attempt) => void (attempt === 1 ? null : res.end("second"));
  const retrying = '{ match: { prefix: / }, route: { cluster: app, retry_policy: { retry_on: "5xx" } } }';
  const path = await routed([retrying]);
  t.after(() => path.stop());
  path.clusters.update(appWith({ maxStreamDurationMs: 40 }));
  assert.equal((await ask(path, "/")).body, "second");
  answer = () => {};
  const result = await ask(path, "/", { headers: { "x-envoy-max-retries": "0" } });
  assert.deepEqual([result.status, result.body], [504, "upstream max stream duration reached"]);
  assert.deepEqual(
    [path.logs[1]?.["responseFlags"], path.logs[1]?.["responseCodeDetails"]],
    ["UMSDR", "upstream_max_stream_duration_reached"],
  );
  assert.match(String(path.logs[1]?.["cause"]), /longest duration of a stream to it, 40 ms/);
  answer = (_req, res) => void res.write("begun");
  await assert.rejects(ask(path, "/"));
  assert.equal(path.clusters.get("app")?.counters.maxDurations, 3);
  path.clusters.update(appWith({ maxStreamDurationMs: 60_000 }));
  answer = () => {};
  const shorter = { headers: { "x-envoy-upstream-stream-duration-ms": "30", "x-envoy-max-retries": "0" } };
  assert.equal((await ask(path, "/", shorter)).status, 504, "a trusted client may ask for less");
  assert.equal(seen.at(-1)?.headers["x-envoy-upstream-stream-duration-ms"], undefined);
});

test("a response with more headers than max_headers_count of the cluster is refused", async (t) => {
  answer = (_req, res) => {
    for (let i = 0; i < 20; i++) res.setHeader(`x-${i}`, "v");
    res.end("app");
  };
  const path = await routed(["{ match: { prefix: / }, route: { cluster: app } }"]);
  t.after(() => path.stop());
  assert.equal((await ask(path, "/")).status, 200);
  path.clusters.update(appWith({ responseLimits: { maxBytes: 65_536, maxHeaders: 10 } }));
  const result = await ask(path, "/");
  assert.equal(result.status, 502);
  assert.equal(path.logs[1]?.["responseFlags"], "UPE");
  assert.match(String(path.logs[1]?.["cause"]), /more header lines than the limit/);
});

test("the per-try idle timeout retries a server that went silent", async () => {
  answer = (_req, res, attempt) => void (attempt > 1 && res.end("second"));
  const path = await routed([
    "{ match: { prefix: / }, route: { cluster: app, timeout: 0s, retry_policy: { retry_on: 5xx, per_try_idle_timeout: 0.03s } } }",
  ]);
  assert.equal((await ask(path, "/")).body, "second");
  path.stop();
});

test("a route's idle timeout stands in for the connection manager's", async () => {
  answer = () => {};
  const path = await routed(["{ match: { prefix: / }, route: { cluster: app, timeout: 0s, idle_timeout: 0.04s } }"]);
  const result = await ask(path, "/");
  assert.equal(result.status, 408);
  assert.equal(path.logs[0]?.["responseCodeDetails"], "stream_idle_timeout");
  path.stop();
});

test("a request asks for its own retries", async () => {
  answer = (_req, res, attempt) => res.writeHead(attempt < 4 ? 503 : 200).end();
  const path = await routed(["{ match: { prefix: / }, route: { cluster: app } }"]);
  assert.equal((await ask(path, "/")).status, 503);
  seen = [];
  const headers = { "x-envoy-retry-on": "5xx", "x-envoy-max-retries": "3" };
  assert.equal((await ask(path, "/", { headers })).status, 200);
  assert.equal(seen.length, 4);
  assert.equal(seen[0]?.headers["x-envoy-retry-on"], undefined);
  path.stop();
});

test("responses are retried by header, requests only where theirs allow it", async () => {
  answer = (_req, res, attempt) => {
    if (attempt === 1) res.setHeader("x-try", "again");
    res.end(String(attempt));
  };
  const path = await routed([
    '{ match: { prefix: / }, route: { cluster: app, retry_policy: { retry_on: retriable-headers, retriable_headers: [{ name: X-Try, string_match: { exact: again } }], retriable_request_headers: [{ name: ":method", string_match: { exact: GET } }] } } }',
  ]);
  assert.equal((await ask(path, "/")).body, "2");
  seen = [];
  assert.equal((await ask(path, "/", post, "x")).body, "1");
  path.stop();
});

test("the server says how long to wait before a retry", async () => {
  answer = (_req, res, attempt) => {
    if (attempt === 1) res.writeHead(429, { "retry-after": "0" });
    res.end(String(attempt));
  };
  // Without the server's word the wait would be longer than the test.
  const backoff =
    "retry_back_off: { base_interval: 600s, max_interval: 600s }, rate_limited_retry_back_off: { reset_headers: [{ name: retry-after }], max_interval: 1s }";
  const path = await routed([
    `{ match: { prefix: / }, route: { cluster: app, retry_policy: { retry_on: retriable-status-codes, retriable_status_codes: [429], ${backoff} } } }`,
  ]);
  assert.equal((await ask(path, "/")).body, "2");
  path.stop();
});

test("a cluster is named by a header, and a missing one is answered as the route says", async () => {
  const path = await routed([
    "{ match: { prefix: /by-header }, route: { cluster_header: X-To, cluster_not_found_response_code: NOT_FOUND } }",
  ]);
  assert.equal((await ask(path, "/by-header", { headers: { "x-to": "other" } })).body, "app");
  assert.equal(path.logs[0]?.["upstreamCluster"], "other");
  const missing = await ask(path, "/by-header", { headers: { "x-to": "elsewhere" } });
  assert.equal(missing.status, 404);
  assert.equal(path.logs[1]?.["responseFlags"], "NC");
  path.stop();
});

test("requests with one hash go to one endpoint, and a client without the cookie gets it", async () => {
  const answering = (name: string) => httpServer((_req, res) => res.end(name));
  const servers = await Promise.all(["a", "b", "c", "d"].map(answering));
  const path = await routed([
    "{ match: { prefix: /header }, route: { cluster: ring, hash_policy: [{ header: { header_name: X-User } }] } }",
    "{ match: { prefix: /query }, route: { cluster: ring, hash_policy: [{ query_parameter: { name: user } }] } }",
    "{ match: { prefix: /cookie }, route: { cluster: ring, hash_policy: [{ cookie: { name: session, ttl: 3600s, path: /cookie } }] } }",
  ]);
  path.clusters.update(
    clusterOn(
      "ring",
      servers.map(({ port }) => port),
      { loadBalancing: balancedBy({ type: "maglev", tableSize: 65537, usesHostname: false, balanceFactorPercent: 0 }) },
    ),
  );
  const places = async (target: (i: number) => string, headers: (i: number) => Record<string, string>) => {
    const found = [];
    for (let i = 0; i < 24; i++) found.push((await ask(path, target(i), { headers: headers(i) })).body);
    return found;
  };
  const same = await places(
    () => "/header",
    () => ({ "x-user": "jason" }),
  );
  assert.equal(new Set(same).size, 1);
  const spread = await places(
    () => "/header",
    (i) => ({ "x-user": `user-${i}` }),
  );
  assert.ok(new Set(spread).size > 1);
  const byQuery = await places(
    () => "/query?a=1&user=jason",
    () => ({}),
  );
  assert.deepEqual(new Set(byQuery), new Set(same), "equal values have equal hashes");
  const first = await ask(path, "/cookie");
  const [cookie = ""] = first.headers["set-cookie"] ?? [];
  assert.match(cookie, /^session="[0-9a-f]{16}"; Max-Age=3600; Path=\/cookie; HttpOnly$/);
  const again = await places(
    () => "/cookie",
    () => ({ cookie: cookie.split(";", 1)[0] ?? "" }),
  );
  assert.deepEqual(new Set(again), new Set([first.body]));
  path.stop();
  for (const { stop } of servers) stop();
});

test("hosts are rewritten from a header, from the path and from the endpoint, and the old one is told", async () => {
  const path = await routed([
    "{ match: { prefix: /header }, route: { cluster: app, host_rewrite_header: X-Host } }",
    '{ match: { prefix: /path }, route: { cluster: app, host_rewrite_path_regex: { pattern: { regex: "^/path/([^/]+).*$" }, substitution: "\\\\1.test" } } }',
    "{ match: { prefix: /auto }, route: { cluster: named, auto_host_rewrite: true, append_x_forwarded_host: true } }",
  ]);
  const named = plainEndpointSet("named", [endpointConfig(app.port, { hostname: "app.internal" })]);
  path.clusters.update({ ...clusterOn("named", []), endpoints: named });
  const hostOf = async (target: string, headers = {}): Promise<string | undefined> => {
    await ask(path, target, { headers: { host: "first.test", ...headers } });
    return seen.at(-1)?.headers.host;
  };
  assert.equal(await hostOf("/header", { "x-host": "second.test" }), "second.test");
  assert.equal(await hostOf("/path/shop/cart?x=1"), "shop.test");
  assert.equal(await hostOf("/auto"), "app.internal");
  assert.equal(seen.at(-1)?.headers["x-forwarded-host"], "first.test");
  path.stop();
});

test("a route takes its share, the next one the rest", async () => {
  let draw = 0;
  const path = await routed(
    [
      "{ name: some, match: { prefix: /, runtime_fraction: { default_value: { numerator: 25 } } }, route: { cluster: other } }",
      "{ name: rest, match: { prefix: / }, route: { cluster: app } }",
    ],
    { random: () => draw },
  );
  let some = 0;
  for (let i = 0; i < 64; i++) {
    draw = (i + 0.5) / 64 + i * 1e-9;
    draw = (draw * 7919) % 1;
    await ask(path, "/");
    if (path.logs.at(-1)?.["routeName"] === "some") some++;
  }
  assert.ok(some >= 8 && some <= 24, `${some} of 64`);
  path.stop();
});

test("the runtime says how many requests a route takes, and how many are mirrored", async (t) => {
  const runtime = new Runtime();
  const share = (key: string): string => `{ default_value: { numerator: 0 }, runtime_key: ${key} }`;
  const path = await routed(
    [
      `{ match: { prefix: /, runtime_fraction: ${share("route.new")} }, direct_response: { status: 202 } }`,
      `{ match: { prefix: / }, route: { cluster: app, request_mirror_policies: [{ cluster: shadow, runtime_fraction: ${share("mirror")} }] } }`,
    ],
    { runtime },
  );
  t.after(() => path.stop());
  assert.equal((await ask(path, "/a")).status, 200);
  runtime.modify([["mirror", "100"]]);
  assert.equal((await ask(path, "/b")).status, 200);
  await until(() => mirrored.length === 1);
  assert.equal(mirrored[0]?.url, "/b");
  runtime.modify([["route.new", "100"]]);
  assert.equal((await ask(path, "/c")).status, 202);
});

test("the table's headers come last, or first where the most specific wins", async () => {
  const header = (value: string): string =>
    `response_headers_to_add: [{ header: { key: x-who, value: ${value} }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }],`;
  const route = `{ match: { prefix: / }, ${header("route")} route: { cluster: app } }`;
  const last = await routed([route], { table: header("table"), host: header("host") });
  assert.equal((await ask(last, "/")).headers["x-who"], "table");
  last.stop();
  const table = `${header("table")} most_specific_header_mutations_wins: true,`;
  const first = await routed([route], { table, host: header("host") });
  assert.equal((await ask(first, "/")).headers["x-who"], "route");
  first.stop();
});

test("the number of attempts is told to the client where the host says so, and nothing where Envoy's headers are off", async () => {
  answer = (_req, res, attempt) => res.writeHead(attempt < 2 ? 503 : 200).end();
  const route = "{ match: { prefix: / }, route: { cluster: app, retry_policy: { retry_on: 5xx } } }";
  const path = await routed([route], { host: "include_attempt_count_in_response: true," });
  const result = await ask(path, "/");
  assert.equal(result.headers["x-envoy-attempt-count"], "2");
  assert.notEqual(result.headers["x-envoy-upstream-service-time"], undefined);
  path.stop();
});

async function upgrade(path: TestDataPath, target: string): Promise<string> {
  const socket = connect(path.port(), "127.0.0.1");
  await once(socket, "connect");
  socket.write(`GET ${target} HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n`);
  const [data] = (await once(socket, "data")) as [Buffer];
  socket.destroy();
  return data.toString().split("\r\n", 1)[0] ?? "";
}

test("a route allows an upgrade that the listener does not, and forbids one that it does", async () => {
  app.server.on("upgrade", (_req, socket) => {
    socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
    socket.on("end", () => socket.destroy()).resume();
  });
  const path = await routed(
    [
      "{ match: { prefix: /yes }, route: { cluster: app, upgrade_configs: [{ upgrade_type: ECHO }] } }",
      "{ match: { prefix: /no }, route: { cluster: app, upgrade_configs: [{ upgrade_type: other, enabled: false }] } }",
      "{ match: { prefix: / }, route: { cluster: app } }",
    ],
    { manager: { upgradeTypes: ["websocket", "other"] } },
  );
  assert.match(await upgrade(path, "/yes"), /101/);
  assert.match(await upgrade(path, "/"), /403/);
  await until(() => path.logs.length === 2);
  assert.match(
    String(path.logs.find((log) => log["responseCode"] === 403)?.["cause"]),
    /echo is not among the upgrades/,
  );
  path.stop();
});

test("a CONNECT that ends here becomes bytes to the cluster, over HTTP/1 and HTTP/2", async () => {
  const echo = await rawServer((socket) => {
    socket.on("data", (data) => socket.write(data));
    socket.on("end", () => socket.end("bye"));
  });
  const path = await routed(
    [
      "{ match: { connect_matcher: {} }, route: { cluster: echo, upgrade_configs: [{ upgrade_type: CONNECT, connect_config: {} }] } }",
    ],
    { manager: { upgradeTypes: ["connect"] } },
  );
  path.clusters.update(clusterOn("echo", [echo.port]));
  const socket = connect({ port: path.port(), host: "127.0.0.1", allowHalfOpen: true });
  socket.write("CONNECT a.test:443 HTTP/1.1\r\nhost: a.test:443\r\n\r\n");
  const [head] = (await once(socket, "data")) as [Buffer];
  assert.match(head.toString(), /^HTTP\/1\.1 200 OK\r\n/);
  socket.write("bytes");
  const [back] = (await once(socket, "data")) as [Buffer];
  assert.equal(back.toString(), "bytes");
  socket.end();
  const [rest] = (await once(socket, "data")) as [Buffer];
  assert.equal(rest.toString(), "bye");
  await once(socket, "close");
  const session = connectHttp2(`http://127.0.0.1:${path.port()}`);
  const stream = session.request({ ":method": "CONNECT", ":authority": "a.test:443" });
  await once(stream, "response");
  stream.write("over two");
  const [echoed] = (await once(stream, "data")) as [Buffer];
  assert.equal(echoed.toString(), "over two");
  stream.end();
  await once(stream, "close");
  session.close();
  await until(() => path.clusters.get("echo")?.endpoints[0]?.activeConnections === 0);
  path.clusters.update(clusterOn("echo", [1]));
  const refused = await sendRaw(path.port(), "CONNECT a.test:443 HTTP/1.1\r\nhost: a.test:443\r\n\r\n");
  assert.match(refused, /^HTTP\/1\.1 503 /);
  await until(() => path.logs.length === 3);
  assert.equal(path.logs[2]?.["responseFlags"], "UF");
  path.stop();
  echo.stop();
});
