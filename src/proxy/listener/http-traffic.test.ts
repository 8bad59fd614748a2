// HTTP/1 through listener, route, cluster and pool, between independent peers: node:http and curl.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { Agent } from "node:http";
import { test } from "node:test";
import { promisify } from "node:util";
import {
  chain,
  clusterOn,
  dataPath,
  forward,
  httpFilter,
  httpServer,
  listenerConfig,
  managerConfig,
  routeEntry,
} from "./testing/data-path.ts";
import { ask, until } from "./testing/requests.ts";

const run = promisify(execFile);

test("a GET goes through and both sides see what Envoy would show them", async () => {
  const seen: { headers: NodeJS.Dict<string | string[]>; rawHeaders: string[]; url: string | undefined }[] = [];
  const server = await httpServer((req, res) => {
    seen.push({ headers: req.headers, rawHeaders: req.rawHeaders, url: req.url });
    res.setHeader("X-Case-Kept", "yes");
    res.end("hello");
  });
  const path = dataPath();
  path.clusters.update(clusterOn("app", [server.port]));
  await path.listeners.update(listenerConfig([chain([httpFilter(managerConfig([routeEntry("/", forward("app"))]))])]));
  const { stdout } = await run("curl", ["-si", `http://127.0.0.1:${path.port()}/a/./b?x=1`, "-H", "X-MiXed: one"]);
  assert.match(stdout, /^HTTP\/1\.1 200 OK\r\n/);
  assert.match(stdout, /X-Case-Kept: yes/);
  assert.match(stdout, /server: istio-envoy/);
  assert.match(stdout, /x-envoy-upstream-service-time: \d+/);
  assert.match(stdout, /hello$/);
  assert.equal(seen[0]?.url, "/a/b?x=1");
  assert.ok(seen[0]?.rawHeaders.includes("X-MiXed"));
  assert.equal(seen[0]?.headers["x-forwarded-proto"], "http");
  assert.equal(seen[0]?.headers["x-envoy-attempt-count"], "1");
  assert.match(String(seen[0]?.headers["x-request-id"]), /^[0-9a-f-]{36}$/);
  await until(() => path.logs.length === 1);
  assert.equal(path.logs[0]?.["responseCode"], 200);
  assert.equal(path.logs[0]?.["upstreamCluster"], "app");
  assert.equal(path.logs[0]?.["responseCodeDetails"], "via_upstream");
  assert.equal(path.requests.length, 1);
  path.stop();
  server.stop();
});

test("1000 requests on kept-alive connections reuse a handful of upstream connections", async () => {
  let connections = 0;
  const server = await httpServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on("data", (chunk: Buffer) => chunks.push(chunk));
    req.on("end", () => res.end(Buffer.concat(chunks)));
  });
  server.server.on("connection", () => connections++);
  const path = dataPath();
  path.clusters.update(clusterOn("app", [server.port]));
  await path.listeners.update(listenerConfig([chain([httpFilter(managerConfig([routeEntry("/", forward("app"))]))])]));
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const answers = await Promise.all(
    Array.from({ length: 1000 }, (_, i) => ask(path, `/${i}`, { agent, method: "POST" }, `body ${i}`)),
  );
  answers.forEach((answer, i) => assert.equal(answer.body, `body ${i}`));
  assert.ok(connections <= 8, `${connections} upstream connections`);
  agent.destroy();
  assert.equal(path.logs.length, 1000);
  path.stop();
  server.stop();
});

test("bodies of every framing arrive whole in both directions", async () => {
  const big = "x".repeat(3_000_000);
  const server = await httpServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on("data", (chunk: Buffer) => chunks.push(chunk));
    req.on("end", () => {
      const body = Buffer.concat(chunks);
      if (req.url === "/chunked") res.write(body);
      else res.setHeader("content-length", body.length);
      res.end(req.url === "/chunked" ? "" : body);
    });
  });
  const path = dataPath();
  path.clusters.update(clusterOn("app", [server.port]));
  await path.listeners.update(listenerConfig([chain([httpFilter(managerConfig([routeEntry("/", forward("app"))]))])]));
  const counted = await ask(path, "/counted", { method: "POST", headers: { "content-length": big.length } }, big);
  assert.equal(counted.body.length, big.length);
  const chunked = await ask(path, "/chunked", { method: "PUT", headers: { "transfer-encoding": "chunked" } }, big);
  assert.equal(chunked.body.length, big.length);
  assert.equal(chunked.headers["transfer-encoding"], "chunked");
  path.stop();
  server.stop();
});

test("HEAD, 204 and 304 have no body and keep the connection", async () => {
  const server = await httpServer((req, res) => {
    res.statusCode = req.url === "/204" ? 204 : req.url === "/304" ? 304 : 200;
    if (res.statusCode === 200) res.setHeader("content-length", 5);
    res.end(req.method === "HEAD" || res.statusCode !== 200 ? undefined : "hello");
  });
  const path = dataPath();
  path.clusters.update(clusterOn("app", [server.port]));
  await path.listeners.update(listenerConfig([chain([httpFilter(managerConfig([routeEntry("/", forward("app"))]))])]));
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const head = await ask(path, "/", { method: "HEAD", agent });
  assert.equal(head.headers["content-length"], "5");
  assert.equal((await ask(path, "/204", { agent })).status, 204);
  assert.equal((await ask(path, "/304", { agent })).status, 304);
  assert.equal((await ask(path, "/", { agent })).body, "hello");
  agent.destroy();
  path.stop();
  server.stop();
});

test("what can't be routed is answered with Envoy's status, flag and a cause in words", async () => {
  const path = dataPath({ explainToClients: true });
  path.clusters.update(clusterOn("empty", []));
  path.clusters.update(clusterOn("refused", [1]));
  const routes = [
    routeEntry("/gone", forward("nowhere")),
    routeEntry("/empty", forward("empty")),
    routeEntry("/refused", forward("refused")),
    routeEntry("/direct", { type: "direct_response", status: 418, body: "teapot" }),
  ];
  await path.listeners.update(listenerConfig([chain([httpFilter(managerConfig(routes))])]));
  const cases: [string, number, string, string][] = [
    ["/none", 404, "NR", "route_not_found"],
    ["/gone", 503, "NC", "cluster_not_found"],
    ["/empty", 503, "UH", "no_healthy_upstream"],
    [
      "/refused",
      503,
      "UF",
      "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_111}",
    ],
    ["/direct", 418, "-", "direct_response"],
  ];
  for (const [target, status, flag, details] of cases) {
    const answer = await ask(path, target);
    assert.equal(answer.status, status, target);
    const entry = path.logs.at(-1);
    assert.equal(entry?.["responseFlags"], flag, target);
    assert.equal(entry?.["responseCodeDetails"], details);
    const explanation = String(answer.headers["x-outrigger-explain"]);
    assert.ok(explanation.length > 5);
    if (target === "/direct") assert.equal(answer.body, "teapot");
    else assert.ok(answer.body.includes(explanation));
  }
  path.stop();
});

test("a chunked response becomes a closed connection for HTTP/1.0", async () => {
  const server = await httpServer((_req, res) => {
    res.write("one ");
    res.end("two");
  });
  const path = dataPath();
  path.clusters.update(clusterOn("app", [server.port]));
  await path.listeners.update(listenerConfig([chain([httpFilter(managerConfig([routeEntry("/", forward("app"))]))])]));
  const { stdout } = await run("curl", ["-si", "--http1.0", `http://127.0.0.1:${path.port()}/`]);
  assert.match(stdout, /^HTTP\/1\.1 200 OK/);
  assert.doesNotMatch(stdout, /transfer-encoding/i);
  assert.match(stdout, /connection: close/);
  assert.match(stdout, /\r\n\r\none two$/);
  path.stop();
  server.stop();
});
