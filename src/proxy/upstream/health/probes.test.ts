// Health checks over real sockets, through clusters.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttp2Server, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { createServer, type Server, type Socket } from "node:net";
import { test } from "node:test";
import { Server as GrpcServer, type Metadata, ServerCredentials, type sendUnaryData } from "@grpc/grpc-js";
import { silentLogger } from "#base/log/log.ts";
import { SecretStore } from "#wire/tls/secrets.ts";
import { plainEndpointSet } from "../../config/cluster.ts";
import { clusterConfig } from "../../config/testing/resources.ts";
import { endpointConfig, httpServer } from "../../listener/testing/data-path.ts";
import { until } from "../../listener/testing/requests.ts";
import { EventLoop } from "../../transport/event-loop.ts";
import { anyHost } from "../balance/choice.ts";
import { describeFlags } from "../balance/host.ts";
import type { Cluster } from "../cluster.ts";
import { ClusterManager } from "../cluster-manager.ts";

function checked(port: number, check: string, more = "", mergeWindow = "0s"): { cluster: Cluster; stop: () => void } {
  const loop = new EventLoop();
  const clusters = new ClusterManager({ loop, secrets: new SecretStore(), log: silentLogger });
  const every =
    "timeout: 2s, interval: 0.02s, no_traffic_interval: 0.02s, unhealthy_threshold: 2, healthy_threshold: 1";
  const config = clusterConfig(`{ name: c, type: EDS, health_checks: [{ ${every}, ${check} }], ${more}
    common_lb_config: { update_merge_window: ${mergeWindow}, healthy_panic_threshold: {} } }`);
  clusters.update(config);
  clusters.setEndpoints(plainEndpointSet("c", [endpointConfig(port)]));
  const cluster = clusters.get("c");
  assert.ok(cluster);
  return {
    cluster,
    stop: () => {
      clusters.stop();
      loop.stop();
    },
  };
}

const flags = (cluster: Cluster): string => describeFlags(cluster.endpoints[0]?.healthFlags ?? -1);

async function bytesServer(onConnection: (socket: Socket) => void): Promise<Server & { port: number }> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    onConnection(socket);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return Object.assign(server, { port: (server.address() as AddressInfo).port });
}

test("HTTP: the cluster is warm after the first answer, follows the endpoint, and keeps the connection", async () => {
  let status = 200;
  const seen: string[] = [];
  const sockets = new Set<unknown>();
  const server = await httpServer((req, res) => {
    seen.push(`${req.method} ${req.url} ${req.headers.host} ${req.headers["user-agent"]} ${req.headers["x-a"]}`);
    sockets.add(req.socket);
    res.statusCode = status;
    res.end("fine");
  });
  const { cluster, stop } = checked(
    server.port,
    "http_health_check: { path: /healthz?x, request_headers_to_add: [{ header: { key: X-A, value: b } }] }",
  );
  assert.equal(cluster.isWarm, false);
  assert.equal(cluster.choose(anyHost), null);
  await until(() => cluster.isWarm);
  assert.equal(cluster.choose(anyHost)?.config.port, server.port);
  assert.equal(seen[0], "GET /healthz?x c Envoy/HC b");
  status = 503;
  await until(() => cluster.choose(anyHost) === null);
  assert.equal(flags(cluster), "/failed_active_hc");
  assert.equal(cluster.endpoints[0]?.checks?.lastFailure, "it answered 503");
  status = 200;
  await until(() => cluster.choose(anyHost) !== null);
  assert.equal(sockets.size, 1);
  // Checks are no traffic.
  assert.equal(cluster.counters.connectionsTotal, 0);
  assert.equal(cluster.endpoints[0]?.connectionsTotal, 0);
  stop();
  server.stop();
});

test("a cluster that becomes warm has what the first answers found, whatever the merge window", async () => {
  const server = await httpServer((_req, res) => res.end());
  const { cluster, stop } = checked(server.port, "http_health_check: { path: / }", "", "60s");
  await until(() => cluster.isWarm);
  assert.equal(cluster.choose(anyHost)?.config.port, server.port);
  stop();
  server.stop();
});

test("HTTP: without reuse every check has its own connection", async () => {
  const sockets = new Set<unknown>();
  const server = await httpServer((req, res) => {
    sockets.add(req.socket);
    res.end();
  });
  const { cluster, stop } = checked(server.port, "reuse_connection: false, http_health_check: { path: / }");
  await until(() => (cluster.checker?.counters.successes ?? 0) >= 3);
  assert.ok(sockets.size >= 3);
  stop();
  server.stop();
});

test("HTTP: the body, the service's name and the endpoint's own words are looked at", async () => {
  let headers: Record<string, string> = { "x-envoy-upstream-healthchecked-cluster": "api" };
  let body = "all is well";
  const server = await httpServer((_req, res) => {
    for (const [name, value] of Object.entries(headers)) res.setHeader(name, value);
    res.end(body);
  });
  const { cluster, stop } = checked(
    server.port,
    'http_health_check: { path: /, receive: [{ text: "616c6c" }, { text: "77656c6c" }], service_name_matcher: { exact: api } }',
  );
  await until(() => flags(cluster) === "healthy");
  body = "well, all";
  await until(() => flags(cluster) === "/failed_active_hc");
  assert.equal(cluster.endpoints[0]?.checks?.lastFailure, "the body is not as expected");
  body = "all is well";
  headers = { "x-envoy-upstream-healthchecked-cluster": "api", "x-envoy-degraded": "1" };
  await until(() => flags(cluster) === "/degraded_active_hc");
  headers = { "x-envoy-upstream-healthchecked-cluster": "other" };
  await until(() => flags(cluster).includes("/failed_active_hc"));
  assert.equal(cluster.endpoints[0]?.checks?.lastFailure, 'it is the service "other"');
  assert.ok((cluster.checker?.counters.otherServices ?? 0) > 0);
  headers = { "x-envoy-immediate-health-check-fail": "true" };
  await until(() => flags(cluster).includes("/excluded_via_immediate_hc_fail"));
  stop();
  server.stop();
});

test("HTTP: an endpoint that is gone is unreachable", async () => {
  const { cluster, stop } = checked(1, "http_health_check: { path: / }");
  await until(() => cluster.isWarm);
  assert.equal(flags(cluster), "/failed_active_hc");
  assert.match(cluster.endpoints[0]?.checks?.lastFailure ?? "", /connection refused/);
  stop();
});

test("TCP: connecting is enough when nothing is sent and expected", async () => {
  let connections = 0;
  const server = await bytesServer(() => connections++);
  const { cluster, stop } = checked(server.port, "tcp_health_check: {}");
  await until(() => flags(cluster) === "healthy");
  await until(() => connections >= 2);
  server.close();
  stop();
});

test("TCP: bytes are sent and expected, in parts, on one connection", async () => {
  let answer = "+PO";
  let connections = 0;
  const server = await bytesServer((socket) => {
    connections++;
    socket.on("data", (data) => {
      assert.equal(data.toString(), "PING\r\n");
      socket.write("# hello\r\n");
      setImmediate(() => socket.write(`${answer}NG\r\n`));
    });
  });
  const { cluster, stop } = checked(
    server.port,
    'tcp_health_check: { send: { text: "50494e470d0a" }, receive: [{ text: "68656c6c6f" }, { text: "2b504f4e47" }] }',
  );
  await until(() => (cluster.checker?.counters.successes ?? 0) >= 3);
  assert.equal(connections, 1);
  assert.equal(flags(cluster), "healthy");
  answer = "-ERR";
  await until(() => (cluster.checker?.counters.failures ?? 0) >= 1, 5000);
  assert.match(cluster.endpoints[0]?.checks?.lastFailure ?? "", /did not answer within 2000 ms/);
  stop();
  server.close();
});

test("TCP: an endpoint that closes before it answers fails", async () => {
  const server = await bytesServer((socket) => socket.end());
  const { cluster, stop } = checked(server.port, 'tcp_health_check: { receive: [{ text: "00" }] }');
  await until(() => (cluster.checker?.counters.failures ?? 0) >= 2);
  assert.match(cluster.endpoints[0]?.checks?.lastFailure ?? "", /closed before the expected bytes came/);
  stop();
  server.close();
});

test("HTTP/2: checks run over one connection of the other protocol", async () => {
  let status = 200;
  let sessions = 0;
  const seen: string[] = [];
  const server = createHttp2Server().listen(0, "127.0.0.1");
  server.on("session", () => sessions++);
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    seen.push(`${headers[":method"]} ${headers[":path"]} ${headers[":authority"]}`);
    stream.respond({ ":status": status }, { endStream: true });
  });
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const { cluster, stop } = checked(port, "http_health_check: { path: /h2, host: app, codec_client_type: HTTP2 }");
  await until(() => (cluster.checker?.counters.successes ?? 0) >= 3);
  assert.equal(seen[0], "GET /h2 app");
  assert.equal(sessions, 1);
  status = 500;
  await until(() => flags(cluster) === "/failed_active_hc");
  stop();
  server.close();
});

test("gRPC: a server's own health service says which service is well", async () => {
  const states = new Map([["", 1]]);
  const asked: string[] = [];
  const server = new GrpcServer();
  const parse = (bytes: Buffer): { service: string } => ({ service: bytes.subarray(2).toString() });
  server.addService(
    {
      check: {
        path: "/grpc.health.v1.Health/Check",
        requestStream: false,
        responseStream: false,
        requestSerialize: (bytes: Buffer) => bytes,
        requestDeserialize: parse,
        responseSerialize: (status: number) => Buffer.from([8, status]),
        responseDeserialize: (bytes: Buffer) => bytes[1] ?? 0,
      },
    },
    {
      check: (call: { request: { service: string }; metadata: Metadata }, done: sendUnaryData<number>) => {
        asked.push(`${call.request.service} ${call.metadata.get("x-a")}`);
        const state = states.get(call.request.service);
        if (state === undefined) done({ code: 5, details: "no such service" });
        else done(null, state);
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, it) =>
      error === null ? resolve(it) : reject(error),
    ),
  );
  const whole = checked(port, "grpc_health_check: {}");
  await until(() => flags(whole.cluster) === "healthy");
  states.set("", 2);
  await until(() => flags(whole.cluster) === "/failed_active_hc");
  assert.equal(whole.cluster.endpoints[0]?.checks?.lastFailure, "it is NOT_SERVING");
  whole.stop();
  const one = checked(
    port,
    "grpc_health_check: { service_name: cart, initial_metadata: [{ header: { key: x-a, value: b } }] }",
  );
  await until(() => one.cluster.isWarm);
  assert.equal(one.cluster.endpoints[0]?.checks?.lastFailure, "it answered with the gRPC status 5: no such service");
  assert.equal(asked.at(-1), "cart b");
  states.set("cart", 1);
  await until(() => flags(one.cluster) === "healthy");
  one.stop();
  server.forceShutdown();
});

test("an endpoint that discovery takes out stays while it passes its checks, unless that is switched off", async () => {
  let status = 200;
  const server = await httpServer((_req, res) => {
    res.statusCode = status;
    res.end();
  });
  const { cluster, stop } = checked(server.port, "http_health_check: { path: / }");
  await until(() => flags(cluster) === "healthy");
  cluster.setEndpoints(plainEndpointSet("c", []));
  assert.equal(flags(cluster), "/pending_dynamic_removal");
  assert.equal(cluster.choose(anyHost)?.config.port, server.port);
  cluster.setEndpoints(plainEndpointSet("c", [endpointConfig(server.port)]));
  assert.equal(flags(cluster), "healthy");
  cluster.setEndpoints(plainEndpointSet("c", []));
  status = 500;
  await until(() => cluster.endpoints.length === 0);
  stop();
  status = 200;
  const other = checked(server.port, "http_health_check: { path: / }", "ignore_health_on_host_removal: true,");
  await until(() => flags(other.cluster) === "healthy");
  other.cluster.setEndpoints(plainEndpointSet("c", []));
  assert.equal(other.cluster.endpoints.length, 0);
  other.stop();
  server.stop();
});

test("a configuration that says the same leaves the checks and what they found alone", async () => {
  const server = await httpServer((_req, res) => res.end());
  const { cluster, stop } = checked(server.port, "http_health_check: { path: / }");
  await until(() => flags(cluster) === "healthy");
  const before = cluster.checker;
  cluster.update({ ...cluster.config, idleTimeoutMs: 7 });
  assert.equal(cluster.checker, before);
  const { healthCheck } = cluster.config;
  assert.ok(healthCheck);
  cluster.update({ ...cluster.config, healthCheck: { ...healthCheck, shape: "another" } });
  assert.notEqual(cluster.checker, before);
  assert.equal(flags(cluster), "healthy");
  cluster.update({ ...cluster.config, healthCheck: null });
  assert.equal(cluster.checker, null);
  stop();
  server.stop();
});
