// HTTP/1 under failure: retries, timeouts, limits, slow and aborting peers, smuggling, upgrades, draining.
import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent, request, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { test } from "node:test";
import { plainEndpointSet } from "../config/cluster.ts";
import { RetryOn, type RetryPolicy } from "../config/http.ts";
import { clusterConfig as clusterFromYaml } from "../config/testing/resources.ts";
import {
  byTurns,
  chain,
  clusterConfig,
  clusterOn,
  dataPath,
  endpointConfig,
  forward,
  httpFilter,
  httpServer,
  limitedTo,
  listenerConfig,
  managerConfig,
  retryPolicy,
  routeEntry,
  type TestDataPath,
  weightedCluster,
} from "./testing/data-path.ts";
import { rawServer } from "./testing/raw-peers.ts";
import { ask, sendRaw, until } from "./testing/requests.ts";

const istioRetry: RetryPolicy = retryPolicy({
  retryOn: RetryOn.ConnectFailure | RetryOn.RefusedStream | RetryOn.GrpcUnavailable | RetryOn.RetriableStatusCodes,
  numRetries: 2,
  retriableStatusCodes: [503],
  hostSelectionAttempts: 5,
  avoidPreviousHosts: true,
  backoffMaxMs: 2,
});

type Overrides = Parameters<typeof forward>[1];

async function routed(
  ports: readonly number[],
  action: Overrides = {},
  manager: Parameters<typeof managerConfig>[1] = {},
  cluster: Parameters<typeof clusterOn>[2] = {},
): Promise<TestDataPath> {
  const path = dataPath();
  path.clusters.update(clusterOn("app", ports, cluster));
  const config = managerConfig([routeEntry("/", forward("app", action))], manager);
  await path.listeners.update(listenerConfig([chain([httpFilter(config)])]));
  return path;
}

test("a refused connection is retried on another endpoint, with the body, and counted", async () => {
  const server = await httpServer((req, res) => {
    let body = "";
    req.on("data", (chunk: Buffer) => (body += chunk.toString()));
    req.on("end", () => res.end(`${req.headers["x-envoy-attempt-count"]} ${body}`));
  });
  const path = await routed([1, server.port], { retry: istioRetry }, {}, { loadBalancing: byTurns });
  for (let i = 0; i < 6; i++) {
    const answer = await ask(path, "/", { method: "POST" }, "payload");
    assert.equal(answer.status, 200);
    assert.match(answer.body, /^[12] payload$/);
  }
  path.stop();
  server.stop();
});

test("retries stop at their number and the flags say so", async () => {
  let requests = 0;
  const server = await httpServer((_req, res) => {
    requests++;
    res.statusCode = 503;
    res.end("busy");
  });
  const path = await routed([server.port], { retry: istioRetry });
  const answer = await ask(path, "/");
  assert.equal(answer.status, 503);
  assert.equal(answer.body, "busy");
  assert.equal(requests, 3);
  assert.equal(path.logs[0]?.["responseFlags"], "URX");
  path.stop();
  server.stop();
});

test("the keep-alive race is invisible for idempotent requests", async () => {
  let connections = 0;
  const server = await rawServer((socket) => {
    const number = ++connections;
    let requests = 0;
    socket.on("data", () => {
      // The first connection answers once and resets the second request.
      if (number === 1 && ++requests === 2) socket.resetAndDestroy();
      else socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    });
  });
  const path = await routed([server.port]);
  assert.equal((await ask(path, "/")).status, 200);
  assert.equal((await ask(path, "/")).status, 200);
  assert.equal(connections, 2);
  assert.equal((await ask(path, "/", { method: "POST" }, "x")).status, 200);
  path.stop();
  server.stop();
});

test("a response on an idle connection is never given to the next request", async () => {
  const server = await rawServer((socket) => {
    socket.on("data", () => {
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nmine");
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged");
    });
  });
  const path = await routed([server.port]);
  for (let i = 0; i < 5; i++) assert.equal((await ask(path, "/")).body, "mine");
  path.stop();
  server.stop();
});

test("the route timeout answers 504 with flag UT and frees the connection", async () => {
  const server = await rawServer(() => {});
  const path = await routed([server.port], { timeoutMs: 30 });
  const answer = await ask(path, "/");
  assert.equal(answer.status, 504);
  assert.equal(answer.body, "upstream request timeout");
  assert.equal(path.logs[0]?.["responseFlags"], "UT");
  assert.equal(path.logs[0]?.["responseCodeDetails"], "response_timeout");
  const [cluster] = path.clusters.describe();
  assert.equal(cluster?.counters.activeRequests, 0);
  await until(() => path.clusters.describe()[0]?.counters.connections === 0);
  path.stop();
  server.stop();
});

test("the per-try timeout retries on the other endpoint", async () => {
  const silent = await rawServer(() => {});
  const server = await httpServer((_req, res) => res.end("ok"));
  const retry = { ...istioRetry, retryOn: RetryOn.FiveXx, perTryTimeoutMs: 30 };
  const path = await routed([silent.port, server.port], { retry }, {}, { loadBalancing: byTurns });
  assert.equal((await ask(path, "/")).body, "ok");
  assert.equal((await ask(path, "/")).body, "ok");
  path.stop();
  silent.stop();
  server.stop();
});

test("a server that dies before, in and after the head is seen for what it is", async () => {
  const server = await rawServer((socket) => {
    socket.once("data", (data) => {
      const target = data.toString().split(" ")[1];
      if (target === "/before") socket.end();
      else if (target === "/within") socket.end("HTTP/1.1 200 OK\r\nconte");
      else if (target === "/after") socket.end("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc");
      else if (target === "/chunk") socket.end("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc");
      else if (target === "/close") socket.end("HTTP/1.1 200 OK\r\n\r\nuntil close");
      else socket.end("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
    });
  });
  const path = await routed([server.port]);
  assert.equal((await ask(path, "/before")).status, 503);
  assert.equal(path.logs.at(-1)?.["responseFlags"], "UC");
  assert.equal((await ask(path, "/within")).status, 503);
  await assert.rejects(ask(path, "/after"));
  await until(() => path.logs.length === 3);
  assert.match(String(path.logs.at(-1)?.["responseCodeDetails"]), /^upstream_reset_after_response_started/);
  await assert.rejects(ask(path, "/chunk"));
  const whole = await ask(path, "/close");
  assert.equal(whole.body, "until close");
  assert.equal(whole.headers["transfer-encoding"], "chunked");
  assert.equal((await ask(path, "/smuggled")).status, 502);
  assert.equal(path.logs.at(-1)?.["responseFlags"], "UPE");
  path.stop();
  server.stop();
});

test("a client that goes away ends its upstream request", async () => {
  let closed = false;
  const server = await rawServer((socket) => {
    socket.on("close", () => (closed = true));
    socket.on("end", () => socket.destroy());
    socket.resume();
  });
  const path = await routed([server.port]);
  const socket = connect(path.port(), "127.0.0.1");
  socket.on("error", () => {});
  socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await until(() => path.clusters.describe()[0]?.counters.activeRequests === 1);
  socket.resetAndDestroy();
  await until(() => closed);
  await until(() => path.logs.length === 1);
  assert.equal(path.logs[0]?.["responseFlags"], "DC");
  assert.equal(path.clusters.describe()[0]?.counters.activeRequests, 0);
  path.stop();
  server.stop();
});

test("requests that were pipelined before the client ended its side are all answered", async () => {
  const server = await httpServer((req, res) => setTimeout(() => res.end(`<${req.url}>`), 5));
  const path = dataPath();
  path.clusters.update(clusterOn("app", [server.port]));
  const routes = [routeEntry("/", forward("app"))];
  await path.listeners.update(listenerConfig([chain([httpFilter(managerConfig(routes))])]));
  const get = (target: string): string => `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`;
  const answer = await sendRaw(path.port(), get("/1") + get("/2") + get("/3"), { end: true });
  assert.match(answer, /<\/1>[^]*<\/2>[^]*connection: close[^]*<\/3>$/);
  const cut = await sendRaw(path.port(), `${get("/1")}GET /2 HTTP/1.1\r\nHo`, { end: true });
  assert.match(cut, /<\/1>$/);
  path.stop();
  server.stop();
});

test("pipelined requests are answered in order, however the bytes are cut", async () => {
  const server = await httpServer((req, res) => {
    let body = "";
    req.on("data", (chunk: Buffer) => (body += chunk.toString()));
    req.on("end", () => setTimeout(() => res.end(`${req.url} ${body};`), req.url === "/0" ? 20 : 0));
  });
  const path = await routed([server.port]);
  const requests = Array.from({ length: 20 }, (_, i) =>
    i % 2 === 0
      ? `GET /${i} HTTP/1.1\r\nHost: a\r\n\r\n`
      : `POST /${i} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`,
  );
  const bytes = `${requests.join("")}GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;
  const whole = await sendRaw(path.port(), bytes);
  const order = [...whole.matchAll(/\/(\w+) (abc)?;/g)].map((match) => match[1]);
  assert.deepEqual(order, [...Array.from({ length: 20 }, (_, i) => String(i)), "last"]);
  path.stop();
  server.stop();
});

test("what could be read in two ways is refused with its status and the connection is closed", async () => {
  const server = await httpServer((_req, res) => res.end("reached"));
  const path = await routed([server.port]);
  const cases: [string, number][] = [
    [
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
      400,
    ],
    ["POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400],
    ["POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501],
    ["GET / HTTP/1.1\r\n\r\n", 400],
    ["GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400],
    ["GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400],
    ["GET / HTTP/1.1\r\nHost: a/b@c\r\n\r\n", 400],
    ["GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400],
    ["GET /../../etc HTTP/1.1\r\nHost: a\r\n\r\n", 400],
    ["GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400],
    ["GET /x HTTP/3.0\r\nHost: a\r\n\r\n", 505],
    [`GET / HTTP/1.1\r\nHost: a\r\nX: ${"y".repeat(70_000)}\r\n\r\n`, 431],
    [`GET / HTTP/1.1\r\nHost: a\r\n${"X: y\r\n".repeat(200)}\r\n`, 431],
    ["GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: smtp\r\n\r\n", 403],
    ["CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 403],
  ];
  for (const [bytes, status] of cases) {
    const answer = await sendRaw(path.port(), bytes);
    assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `), bytes.slice(0, 60));
    assert.match(answer, /connection: close/);
    assert.doesNotMatch(answer, /reached/);
  }
  const bad = await sendRaw(path.port(), "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
  assert.match(bad, /^HTTP\/1\.1 400 /);
  path.stop();
  server.stop();
});

test("absolute form, hop-by-hop headers and nominated headers are handled as RFC 9112 says", async () => {
  let seen: string[] = [];
  const server = await httpServer((req, res) => {
    seen = [`${req.method} ${req.url}`, ...req.rawHeaders];
    res.setHeader("Keep-Alive", "timeout=5");
    res.end();
  });
  const path = await routed([server.port]);
  await sendRaw(
    path.port(),
    "GET http://other.example:8080/p?q HTTP/1.1\r\nHost: ignored\r\nConnection: close, X-Drop, Host\r\nX-Drop: 1\r\nX-Keep: 1\r\nTE: gzip\r\nProxy-Connection: x\r\n\r\n",
  );
  assert.equal(seen[0], "GET /p?q");
  assert.ok(seen.includes("other.example:8080"));
  assert.ok(seen.includes("X-Keep"));
  for (const name of ["X-Drop", "TE", "Proxy-Connection"]) assert.ok(!seen.includes(name), name);
  path.stop();
  server.stop();
});

test("circuit breakers refuse with flag UO and name the limit", async () => {
  const waiting: ServerResponse[] = [];
  const server = await httpServer((_req, res) => void waiting.push(res));
  const circuitBreakers = limitedTo({ maxConnections: 1, maxPendingRequests: 1 });
  const path = await routed([server.port], {}, {}, { circuitBreakers });
  const first = ask(path, "/1");
  await until(() => waiting.length === 1);
  const second = ask(path, "/2");
  await until(() => path.clusters.describe()[0]?.counters.pendingRequests === 1);
  const third = await ask(path, "/3");
  assert.equal(third.status, 503);
  assert.equal(path.logs[0]?.["responseFlags"], "UO");
  assert.match(String(path.logs[0]?.["cause"]), /max_pending_requests \(1\)/);
  waiting[0]?.end("1");
  assert.equal((await first).body, "1");
  await until(() => waiting.length === 2);
  waiting[1]?.end("2");
  assert.equal((await second).body, "2");
  path.stop();
  server.stop();
});

test("routes of high priority have limits and connections of their own", async () => {
  const waiting: ServerResponse[] = [];
  const server = await httpServer((_req, res) => void waiting.push(res));
  const { high } = limitedTo({});
  const circuitBreakers = { default: limitedTo({ maxRequests: 0 }).default, high };
  const low = await routed([server.port], {}, {}, { circuitBreakers });
  assert.equal((await ask(low, "/")).status, 503);
  assert.match(String(low.logs[0]?.["cause"]), /max_requests \(0\) is reached/);
  low.stop();
  const path = await routed([server.port], { priority: "high" }, {}, { circuitBreakers });
  const answer = ask(path, "/");
  await until(() => waiting.length === 1);
  assert.deepEqual(
    path.clusters.describe()[0]?.breakers.map((it) => it.requests),
    [0, 1],
  );
  waiting[0]?.end("high");
  assert.equal((await answer).body, "high");
  path.stop();
  server.stop();
});

test("a cluster has no more connection pools than it may, and one that is not used makes room", async () => {
  const servers = await Promise.all([0, 1].map(() => httpServer((_req, res) => res.end("ok"))));
  const ports = servers.map((it) => it.port);
  const circuitBreakers = limitedTo({ maxConnectionPools: 1 });
  const path = await routed(ports, {}, {}, { circuitBreakers, loadBalancing: byTurns, maxRequestsPerConnection: 1 });
  // Connections end with their request, so that the pool of the other endpoint is free by then.
  for (let i = 0; i < 4; i++) {
    assert.equal((await ask(path, "/")).status, 200);
    await until(() => path.clusters.describe()[0]?.counters.connections === 0);
  }
  path.clusters.update(clusterOn("app", ports, { circuitBreakers, loadBalancing: byTurns }));
  assert.equal((await ask(path, "/")).status, 200);
  assert.equal((await ask(path, "/")).status, 503);
  assert.match(String(path.logs.at(-1)?.["cause"]), /max_connection_pools \(1\) is reached/);
  assert.equal(path.logs.at(-1)?.["responseFlags"], "UO");
  path.stop();
  for (const server of servers) server.stop();
});

test("an endpoint has no more connections than its own limit", async () => {
  const waiting: ServerResponse[] = [];
  const server = await httpServer((_req, res) => void waiting.push(res));
  const path = await routed([server.port], {}, {}, { circuitBreakers: limitedTo({ maxConnectionsPerHost: 2 }) });
  const answers = [1, 2, 3].map((i) => ask(path, `/${i}`));
  await until(() => waiting.length === 2 && path.clusters.describe()[0]?.counters.pendingRequests === 1);
  assert.equal(path.clusters.describe()[0]?.counters.connections, 2);
  waiting[0]?.end("a");
  await until(() => waiting.length === 3);
  for (const it of waiting) it.end("b");
  for (const answer of answers) assert.equal((await answer).status, 200);
  path.stop();
  server.stop();
});

test("a slow reader keeps memory bounded, and a slow server slows its client", async () => {
  const total = 64 * 1024 * 1024;
  let written = 0;
  const server = await httpServer((_req, res) => {
    const block = Buffer.alloc(64 * 1024, 120);
    const more = (): void => {
      while (written < total) {
        written += block.length;
        if (!res.write(block)) {
          res.once("drain", more);
          return;
        }
      }
      res.end();
    };
    more();
  });
  const path = await routed([server.port]);
  const received = await new Promise<number>((resolve, reject) => {
    request({ port: path.port(), host: "127.0.0.1", path: "/" }, (response) => {
      let bytes = 0;
      response.pause();
      setTimeout(() => {
        // The kernel's buffers on both hops hold some megabytes; the proxy must not hold the rest.
        assert.ok(written < 32 * 1024 * 1024, `${written} bytes were taken from the server`);
        response.on("data", (chunk: Buffer) => (bytes += chunk.length));
        response.on("end", () => resolve(bytes));
        response.resume();
      }, 150);
    })
      .on("error", reject)
      .end();
  });
  assert.equal(received, total);
  path.stop();
  server.stop();
});

test("an upgrade carries bytes both ways and held bytes wait for the switch", async () => {
  const server = await rawServer((socket) => {
    let text = "";
    let isUpgraded = false;
    socket.on("data", (data) => {
      text += data.toString();
      if (!isUpgraded && text.includes("\r\n\r\n")) {
        assert.equal(text.split("\r\n\r\n")[1], "");
        isUpgraded = true;
        socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello ");
      } else if (isUpgraded) socket.write(`echo ${data.toString()}`);
    });
    socket.on("end", () => socket.end());
  });
  const path = await routed([server.port]);
  const socket = connect({ port: path.port(), host: "127.0.0.1" });
  let text = "";
  socket.on("data", (data) => (text += data.toString()));
  socket.write("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly");
  await until(() => text.includes("echo early"));
  assert.match(text, /^HTTP\/1\.1 101 Switching Protocols\r\n/);
  assert.match(text, /connection: upgrade/i);
  socket.write("later");
  await until(() => text.includes("echo later"));
  socket.end();
  await once(socket, "close");
  await until(() => path.logs.length === 1);
  assert.equal(path.logs[0]?.["responseCode"], 101);
  const head = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
  assert.match(await sendRaw(path.port(), `${head}all at once`, { end: true }), /\r\n\r\nhello echo all at once$/);
  path.stop();
  server.stop();
});

test("100-continue is carried through, and an early answer closes the connection", async () => {
  const server = await httpServer((req, res) => {
    if (req.url === "/early") {
      res.statusCode = 413;
      res.end("too much");
      return;
    }
    req.resume();
    req.on("end", () => res.end("taken"));
  });
  const path = await routed([server.port]);
  const socket = connect({ port: path.port(), host: "127.0.0.1" });
  let text = "";
  socket.on("data", (data) => (text += data.toString()));
  socket.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  await until(() => text.includes("100 Continue"));
  socket.write("abc");
  await until(() => text.includes("taken"));
  socket.destroy();
  const early = await sendRaw(path.port(), "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc");
  assert.match(early, /413/);
  assert.match(early, /connection: close/);
  path.stop();
  server.stop();
});

test("a configuration push closes nothing and applies to the next request", async () => {
  const one = await httpServer((_req, res) => res.end("one"));
  const two = await httpServer((_req, res) => res.end("two"));
  const path = await routed([one.port]);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  assert.equal((await ask(path, "/", { agent })).body, "one");
  path.clusters.update(clusterOn("app", [two.port]));
  assert.equal((await ask(path, "/", { agent })).body, "two");
  path.clusters.update(clusterConfig({ name: "app", type: "eds" }));
  path.clusters.setEndpoints(plainEndpointSet("app", [endpointConfig(one.port)]));
  assert.equal((await ask(path, "/", { agent })).body, "one");
  assert.equal(path.listeners.connectionCount, 1);
  agent.destroy();
  path.stop();
  one.stop();
  two.stop();
});

test("draining finishes what is in flight and asks kept-alive clients to leave", async () => {
  const waiting: ServerResponse[] = [];
  const server = await httpServer((_req, res) => void waiting.push(res));
  const path = await routed([server.port]);
  const agent = new Agent({ keepAlive: true });
  const inFlight = ask(path, "/", { agent });
  await until(() => waiting.length === 1);
  const drained = path.listeners.drain(5000);
  waiting[0]?.end("done");
  const answer = await inFlight;
  assert.equal(answer.body, "done");
  assert.equal(answer.headers["connection"], "close");
  assert.equal(await drained, 0);
  path.stop();
  server.stop();
});

test("weights split as they say", async () => {
  const one = await httpServer((_req, res) => res.end("1"));
  const two = await httpServer((_req, res) => res.end("2"));
  const path = dataPath();
  path.clusters.update(clusterOn("one", [one.port]));
  path.clusters.update(clusterOn("two", [two.port]));
  const clusters = [weightedCluster("one", 90), weightedCluster("two", 10)];
  const config = managerConfig([routeEntry("/", forward("one", { clusters, totalWeight: 100 }))]);
  await path.listeners.update(listenerConfig([chain([httpFilter(config)])]));
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const answers = await Promise.all(Array.from({ length: 1000 }, () => ask(path, "/", { agent })));
  const twos = answers.filter((answer) => answer.body === "2").length;
  assert.ok(twos > 60 && twos < 145, `${twos} of 1000`);
  agent.destroy();
  path.stop();
  one.stop();
  two.stop();
});

test("requests are dropped as the endpoints' policy asks, flagged DO, and told apart from failures", async () => {
  const server = await httpServer((_req, res) => res.end("ok"));
  const path = await routed([server.port]);
  const set = plainEndpointSet("app", [endpointConfig(server.port)]);
  const dropOverload = { category: "throttle", fraction: 1 };
  path.clusters.get("app")?.setEndpoints({ ...set, policy: { ...set.policy, dropOverload } });
  const answer = await ask(path, "/");
  assert.equal(answer.status, 503);
  assert.equal(answer.body, "drop overload");
  assert.equal(path.logs[0]?.["responseFlags"], "DO");
  assert.equal(path.logs[0]?.["responseCodeDetails"], "drop_overload");
  assert.match(`${path.logs[0]?.["cause"]}`, /app ask for less load: "throttle"/);
  path.clusters.get("app")?.setEndpoints(set);
  assert.equal((await ask(path, "/")).status, 200);
  path.stop();
  server.stop();
});

const atOnce = byTurns;

test("an endpoint that fails is ejected by its traffic, and the reply without endpoints says which, why and until when", async () => {
  const bad = await httpServer((_req, res) => {
    res.statusCode = 500;
    res.end("broken");
  });
  const good = await httpServer((_req, res) => res.end("good"));
  const outlierDetection = clusterFromYaml(
    "{ name: c, type: STATIC, outlier_detection: { consecutive_5xx: 2, max_ejection_percent: 100 } }",
  ).outlierDetection;
  const path = await routed([bad.port, good.port], {}, {}, { loadBalancing: atOnce, outlierDetection });
  const bodies: string[] = [];
  for (let i = 0; i < 12; i++) bodies.push((await ask(path, "/")).body);
  assert.equal(bodies.filter((body) => body === "broken").length, 2);
  assert.equal(bodies.at(-1), "good");
  path.clusters.get("app")?.setEndpoints(plainEndpointSet("app", [endpointConfig(bad.port)]));
  const answer = await ask(path, "/");
  assert.equal(answer.status, 503);
  assert.equal(answer.body, "no healthy upstream");
  const last = path.logs.at(-1);
  assert.equal(last?.["responseFlags"], "UH");
  assert.match(
    `${last?.["cause"]}`,
    new RegExp(`127.0.0.1:${bad.port} is ejected \\d+ s ago because 2 responses in a row were 5xx, back in (29|30) s`),
  );
  path.stop();
  bad.stop();
  good.stop();
});

test("a connection that cannot be made counts as a failure of the endpoint", async () => {
  const outlierDetection = clusterFromYaml(
    "{ name: c, type: STATIC, outlier_detection: { consecutive_5xx: 3, max_ejection_percent: 100 } }",
  ).outlierDetection;
  const path = await routed([1], {}, {}, { loadBalancing: atOnce, outlierDetection });
  for (let i = 0; i < 3; i++) assert.equal((await ask(path, "/")).status, 503);
  assert.equal((await ask(path, "/")).body, "no healthy upstream");
  path.stop();
});
