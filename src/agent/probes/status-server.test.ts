import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttp } from "node:http";
import { createServer as createHttp2, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, createServer as createTcp, type Server } from "node:net";
import { afterEach, describe, test } from "node:test";
import { silentLogger } from "#base/log/log.ts";
import { MetricRegistry } from "#base/metrics/registry.ts";
import { sendAgentRequest, waitUntilReady } from "../lifecycle/agent-commands.ts";
import {
  type StatusServer,
  type StatusServerOptions,
  startReadinessServer,
  startStatusServer,
} from "./status-server.ts";

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanups.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

async function start(options: Partial<StatusServerOptions> = {}): Promise<StatusServer> {
  const server = await startStatusServer({
    port: 0,
    host: "127.0.0.1",
    notReadyReason: () => "",
    probers: {},
    probeHost: "127.0.0.1",
    proxyMetrics: () => "",
    metrics: new MetricRegistry(),
    scrapeTargets: [],
    drain: () => {},
    quit: () => {},
    logger: silentLogger,
    ...options,
  });
  cleanups.push(() => server.stop());
  return server;
}

const get = (server: StatusServer, path: string): ReturnType<typeof sendAgentRequest> =>
  sendAgentRequest({ port: server.port, method: "GET", path });

describe("the agent's status server", () => {
  test("readiness is the proxy's word, with its reason", async () => {
    let reason = "waiting for listeners";
    const server = await start({ notReadyReason: () => reason });
    assert.deepEqual(await get(server, "/healthz/ready"), { status: 503, body: "waiting for listeners\n" });
    const readiness = await startReadinessServer({ port: 0, host: "127.0.0.1", notReadyReason: () => reason });
    cleanups.push(() => readiness.stop());
    await assert.rejects(waitUntilReady({ port: readiness.port, timeoutMs: 20, periodMs: 5 }), /waiting for listeners/);
    reason = "";
    assert.equal((await get(server, "/healthz/ready")).status, 200);
    await waitUntilReady({ port: readiness.port, timeoutMs: 1_000 });
  });

  test("an HTTP probe reaches the application with its own headers, from the exempted source", async () => {
    const seen: unknown[] = [];
    const app = createHttp((request, response) => {
      seen.push([request.url, request.headers["x-kind"], request.headers["host"], request.socket.remoteAddress]);
      response.statusCode = request.url === "/sick" ? 500 : 200;
      response.end("fine");
    });
    const port = await listen(app);
    const server = await start({
      probers: {
        "/app-health/web/livez": {
          httpGet: {
            path: "/ok",
            port,
            httpHeaders: [
              { name: "X-Kind", value: "probe" },
              { name: "Host", value: "web" },
            ],
          },
        },
        "/app-health/web/readyz": { httpGet: { path: "/sick", port } },
        "/app-lifecycle/web/prestopz": { httpGet: { port } },
      },
    });
    assert.equal((await get(server, "/app-health/web/livez")).status, 200);
    assert.deepEqual(await get(server, "/app-health/web/readyz"), {
      status: 500,
      body: "the application answered 500\n",
    });
    assert.equal((await get(server, "/app-lifecycle/web/prestopz")).status, 200);
    assert.equal((await get(server, "/app-health/other/livez")).status, 404);
    assert.deepEqual(seen[0], ["/ok", "probe", "web", "127.0.0.6"]);
  });

  test("a TCP probe succeeds when the port is open, and an unanswered probe ends in time", async () => {
    const silent = createTcp();
    const port = await listen(silent);
    const closed = createTcp();
    const closedPort = await listen(closed);
    closed.close();
    await once(closed, "close");
    const server = await start({
      probers: {
        "/app-health/db/livez": { tcpSocket: { port } },
        "/app-health/db/readyz": { tcpSocket: { port: closedPort } },
        "/app-health/db/startupz": { httpGet: { port }, timeoutSeconds: 0.05 },
      },
    });
    assert.equal((await get(server, "/app-health/db/livez")).status, 200);
    assert.equal((await get(server, "/app-health/db/readyz")).status, 500);
    assert.match((await get(server, "/app-health/db/startupz")).body, /no answer within 50 ms/);
  });

  test("a gRPC probe asks the health service", async () => {
    const app = createHttp2();
    app.on("stream", (stream: ServerHttp2Stream, headers) => {
      const chunks: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("end", () => {
        const service = Buffer.concat(chunks).subarray(7).toString();
        assert.equal(headers[":path"], "/grpc.health.v1.Health/Check");
        stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
        stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
        stream.end(Buffer.from([0, 0, 0, 0, 2, 8, service === "good" ? 1 : 2]));
      });
    });
    const port = await listen(app);
    const server = await start({
      probers: {
        "/app-health/rpc/livez": { grpc: { port, service: "good" } },
        "/app-health/rpc/readyz": { grpc: { port, service: "bad" } },
      },
    });
    assert.equal((await get(server, "/app-health/rpc/livez")).status, 200);
    assert.deepEqual(await get(server, "/app-health/rpc/readyz"), { status: 500, body: "health status 2\n" });
  });

  test("metrics of proxy, agent and application come as one page, and a missing part does not hurt", async () => {
    const app = createHttp((request, response) => {
      if (request.url === "/metrics") response.end("app_requests_total 3\n# EOF\n");
      else response.writeHead(404).end();
    });
    const port = await listen(app);
    const metrics = new MetricRegistry();
    metrics.counter("agent_things_total", "Things.").labels().increment();
    const server = await start({
      metrics,
      proxyMetrics: () => "proxy_requests_total 7",
      scrapeTargets: [
        { port, path: "/metrics" },
        { port, path: "/missing" },
      ],
    });
    const page = (await get(server, "/stats/prometheus")).body;
    for (const line of ["proxy_requests_total 7", "agent_things_total 1", "app_requests_total 3"]) {
      assert.ok(page.split("\n").includes(line), line);
    }
    assert.ok(!page.includes("# EOF"));
    assert.match((await get(server, "/metrics")).body, /istio_agent_scrape_failures_total\{type="application"\} 1/);
    assert.match((await get(server, "/metrics")).body, /istio_agent_scrapes_total 1\n/);
  });

  test("drain and quitquitquit are commands by POST", async () => {
    const commands: string[] = [];
    const server = await start({ drain: () => commands.push("drain"), quit: () => commands.push("quit") });
    assert.equal((await get(server, "/drain")).status, 405);
    assert.equal((await sendAgentRequest({ port: server.port, method: "POST", path: "drain" })).status, 200);
    assert.equal((await sendAgentRequest({ port: server.port, method: "POST", path: "quitquitquit" })).status, 200);
    assert.deepEqual(commands, ["drain", "quit"]);
    assert.equal((await get(server, "/else")).status, 404);
  });

  test("a port that is taken is an error with the port in it", async () => {
    const server = await start();
    await assert.rejects(start({ port: server.port }), { code: "PROBE_LISTEN" });
  });
});
