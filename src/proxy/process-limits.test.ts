// Limits of a proxy with several threads count for the whole process: real workers, real sockets.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { LogRegistry } from "#base/log/log.ts";
import { freePort } from "#base/net/testing/free-port.ts";
import { SecretStore } from "#wire/tls/secrets.ts";
import type { RunningProxy } from "./options.ts";
import { startProxy } from "./start.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-limits-"));
const held: ServerResponse[] = [];
const slow = createServer((_, response) => void held.push(response));
const good = createServer((_, response) => response.end("good"));
let badRequests = 0;
const bad = createServer((_, response) => {
  badRequests++;
  response.writeHead(500).end();
});
const upstreams: readonly Server[] = [slow, good, bad];
const ports: Record<string, number> = {};
let proxy: RunningProxy;

const network = "type.googleapis.com/envoy.extensions.filters.network";
const http = "type.googleapis.com/envoy.extensions.filters.http";

const address = (port: number): string => `{ socket_address: { address: 127.0.0.1, port_value: ${port} } }`;

const httpListener = (name: string, cluster: string, filters = ""): string => `
  - name: ${name}
    address: ${address(ports[name] ?? 0)}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": ${network}.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ${name}
          route_config:
            name: r
            virtual_hosts: [{ name: all, domains: ["*"], routes: [{ match: { prefix: / }, route: { cluster: ${cluster} } }] }]
          http_filters:${filters}
          - { name: router, typed_config: { "@type": ${http}.router.v3.Router } }`;

const tcpListener = (name: string, filter: string): string => `
  - name: ${name}
    address: ${address(ports[name] ?? 0)}
    filter_chains:
    - filters:
      - ${filter}
      - { name: echo, typed_config: { "@type": ${network}.echo.v3.Echo } }`;

const cluster = (name: string, upstreams: readonly Server[], more = ""): string => `
  - name: ${name}
    type: STATIC${more}
    load_assignment:
      cluster_name: ${name}
      endpoints: [{ lb_endpoints: [${upstreams.map((it) => `{ endpoint: { address: ${address(portOf(it))} } }`).join(", ")}] }]`;

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

const bootstrap = (): string => `
static_resources:
  listeners:${httpListener(
    "rated",
    "good",
    `
          - name: limit
            typed_config:
              "@type": ${http}.local_ratelimit.v3.LocalRateLimit
              stat_prefix: rated
              token_bucket: { max_tokens: 10, fill_interval: 3600s }
              filter_enabled: { default_value: { numerator: 100 } }
              filter_enforced: { default_value: { numerator: 100 } }`,
  )}${httpListener("broken", "slow")}${httpListener("judged", "mixed")}
${tcpListener("counted", `{ name: limit, typed_config: { "@type": ${network}.connection_limit.v3.ConnectionLimit, stat_prefix: counted, max_connections: 5 } }`)}
${tcpListener("paced", `{ name: limit, typed_config: { "@type": ${network}.local_ratelimit.v3.LocalRateLimit, stat_prefix: paced, token_bucket: { max_tokens: 7, fill_interval: 3600s } } }`)}
  clusters:${cluster("good", [good])}${cluster(
    "slow",
    [slow],
    `
    circuit_breakers: { thresholds: [{ max_requests: 6 }] }`,
  )}${cluster(
    "mixed",
    [bad, good],
    `
    common_lb_config: { healthy_panic_threshold: {} }
    outlier_detection: { consecutive_5xx: 3, base_ejection_time: 600s, max_ejection_percent: 50 }`,
  )}
`;

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 20_000;
  while (!(await condition())) {
    assert.ok(Date.now() < end, "the condition came true in time");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** On a connection of its own, so that the kernel chooses the thread. */
function ask(listener: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: "127.0.0.1", port: ports[listener], agent: false }, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode ?? 0));
    });
    sent.on("error", reject);
    sent.end();
  });
}

async function stat(name: string): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${proxy.adminPort}/stats?filter=^${encodeURIComponent(name)}$`);
  return Number((await response.text()).split(": ")[1] ?? Number.NaN);
}

/** How many of so many connections are still open when each was closed or has had its byte back. */
async function survivors(listener: string, count: number): Promise<Socket[]> {
  const open: Socket[] = [];
  let answered = 0;
  for (let i = 0; i < count; i++) {
    const socket = connect(ports[listener] ?? 0, "127.0.0.1");
    socket.on("error", () => {});
    socket.on("close", () => answered++);
    socket.once("data", () => {
      answered++;
      open.push(socket);
    });
    socket.write("x");
  }
  await until(() => answered === count);
  return open;
}

before(async () => {
  for (const server of upstreams) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  }
  for (const name of ["rated", "broken", "judged", "counted", "paced"]) ports[name] = await freePort();
  const path = join(folder, "bootstrap.yaml");
  writeFileSync(path, bootstrap());
  proxy = await startProxy({
    node: { id: "a", cluster: "a", locality: { region: "", zone: "", subZone: "" }, metadata: {} },
    role: "sidecar",
    version: "1.31.0",
    bootstrap: { path },
    concurrency: 3,
    secrets: new SecretStore(),
    log: new LogRegistry({ level: "none" }),
    servers: { admin: { host: "127.0.0.1", port: 0 } },
  });
  await until(() => proxy.ready());
});

after(async () => {
  await proxy.stop();
  for (const server of upstreams) {
    server.closeAllConnections();
    server.close();
  }
  rmSync(folder, { recursive: true, force: true });
});

test("a bucket of the local rate limit is one for all threads", async () => {
  const statuses = await Promise.all(Array.from({ length: 60 }, () => ask("rated")));
  assert.equal(statuses.filter((status) => status === 200).length, 10);
  assert.equal(statuses.filter((status) => status === 429).length, 50);
  assert.equal(await stat("rated.http_local_rate_limit.enforced"), 50);
  const own = proxy.report().listeners.get("rated")?.counters["connectionsTotal"] ?? 0;
  assert.ok(own > 0 && own < 60, `${own} of 60 connections were the main thread's`);
});

test("a circuit breaker bounds the requests of all threads together, and gives back", async () => {
  const asked = Array.from({ length: 40 }, () => ask("broken"));
  await until(async () => (await stat("cluster.slow.upstream_rq_pending_overflow")) === 34);
  await until(() => held.length === 6);
  for (const response of held.splice(0)) response.end("slow");
  const statuses = await Promise.all(asked);
  assert.equal(statuses.filter((status) => status === 200).length, 6);
  const again = Array.from({ length: 6 }, () => ask("broken"));
  await until(() => held.length === 6);
  for (const response of held.splice(0)) response.end("slow");
  assert.deepEqual(await Promise.all(again), [200, 200, 200, 200, 200, 200]);
});

test("a connection limit counts the connections of all threads, and makes room when they end", async (t) => {
  const open = await survivors("counted", 30);
  t.after(() => open.forEach((socket) => socket.destroy()));
  assert.equal(open.length, 5);
  for (const socket of open.splice(0)) socket.destroy();
  await until(async () => (await stat("connection_limit.counted.active_connections")) === 0);
  open.push(...(await survivors("counted", 30)));
  assert.equal(open.length, 5);
});

test("new connections share one bucket in all threads", async (t) => {
  const open = await survivors("paced", 30);
  t.after(() => open.forEach((socket) => socket.destroy()));
  assert.equal(open.length, 7);
});

test("an endpoint that one thread ejects is out in all of them", async () => {
  await until(async () => {
    await Promise.all(Array.from({ length: 6 }, () => ask("judged")));
    return (await stat("cluster.mixed.outlier_detection.ejections_enforced_total")) >= 1;
  });
  // The others have heard of it when every thread answers a round without the endpoint.
  await until(async () => {
    const before = badRequests;
    await Promise.all(Array.from({ length: 30 }, () => ask("judged")));
    return badRequests === before;
  });
  assert.equal(await stat("cluster.mixed.outlier_detection.ejections_active"), 1);
  const statuses = await Promise.all(Array.from({ length: 60 }, () => ask("judged")));
  assert.ok(statuses.every((status) => status === 200));
});
