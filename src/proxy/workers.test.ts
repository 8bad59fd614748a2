// A proxy with worker threads: one configuration, one port, one set of numbers.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Agent, createServer, request } from "node:http";
import { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { LogRegistry } from "#base/log/log.ts";
import { freePort } from "#base/net/testing/free-port.ts";
import { SecretStore } from "#wire/tls/secrets.ts";
import type { RunningProxy } from "./options.ts";
import { startProxy } from "./start.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-workers-"));
const upstream = createServer((request, response) => response.end(`hello ${request.url}`));
const logged: string[] = [];
let port = 0;
let proxy: RunningProxy;

const bootstrap = (listenerPort: number, upstreamPort: number): string => `
static_resources:
  listeners:
  - name: in
    address: { socket_address: { address: 127.0.0.1, port_value: ${listenerPort} } }
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          route_config:
            name: r
            virtual_hosts: [{ name: all, domains: ["*"], routes: [{ match: { prefix: / }, route: { cluster: up } }] }]
          http_filters:
          - { name: stats, typed_config: { "@type": type.googleapis.com/stats.PluginConfig } }
          - { name: router, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router } }
  clusters:
  - name: up
    type: STATIC
    load_assignment:
      cluster_name: up
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${upstreamPort} } } } }] }]
`;

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 15_000;
  while (!(await condition())) {
    assert.ok(Date.now() < end, "the condition came true in time");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function ask(agent: Agent | false): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: "127.0.0.1", port, path: "/x", agent }, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode ?? 0));
    });
    sent.on("error", reject);
    sent.end();
  });
}

async function admin(path: string): Promise<string> {
  return (await fetch(`http://127.0.0.1:${proxy.adminPort}${path}`)).text();
}

async function stat(name: string): Promise<number> {
  const lines = (await admin(`/stats?filter=${encodeURIComponent(name)}`)).split("\n");
  return Number(lines.find((line) => line.startsWith(`${name}: `))?.split(": ")[1] ?? Number.NaN);
}

before(async () => {
  await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  port = await freePort();
  const path = join(folder, "bootstrap.yaml");
  writeFileSync(path, bootstrap(port, (upstream.address() as AddressInfo).port));
  proxy = await startProxy({
    node: {
      id: "sidecar~127.0.0.1~w.default~default.svc.cluster.local",
      cluster: "w",
      locality: { region: "", zone: "", subZone: "" },
      metadata: {},
    },
    role: "sidecar",
    version: "1.31.0",
    bootstrap: { path },
    concurrency: 3,
    secrets: new SecretStore(),
    log: new LogRegistry({ write: (line) => void logged.push(line) }),
    servers: { admin: { host: "127.0.0.1", port: 0 } },
  });
  await until(() => proxy.ready());
});

after(async () => {
  await proxy.stop();
  upstream.closeAllConnections();
  upstream.close();
  rmSync(folder, { recursive: true, force: true });
});

test("the kernel spreads connections over the threads, and the admin API shows their sum", async () => {
  const statuses = await Promise.all(Array.from({ length: 90 }, () => ask(false)));
  assert.ok(statuses.every((status) => status === 200));
  await until(async () => (await stat("cluster.up.upstream_rq_total")) === 90);
  assert.equal(await stat(`listener.127.0.0.1_${port}.downstream_cx_total`), 90);
  assert.equal(await stat("server.concurrency"), 3);
  const times = await admin("/stats?format=prometheus&filter=upstream_rq_time$");
  assert.match(times, /upstream_rq_time_count\{envoy_cluster_name="up"\} 90\n/);
  const own = proxy.report().clusters.get("up")?.counters["requestsTotal"] ?? 0;
  assert.ok(own > 0 && own < 90, `the main thread served ${own} of 90`);
  const series = (await admin("/stats/prometheus"))
    .split("\n")
    .filter((line) => line.startsWith("istio_requests_total{"));
  assert.equal(series.length, 1);
  assert.equal(Number(series[0]?.split(" ").at(-1)), 90);
  assert.match(await admin("/clusters"), /::rq_total::90\n/);
});

test("draining asks the clients of every thread to go, and waits for them", async () => {
  const agent = new Agent({ keepAlive: true });
  await Promise.all(Array.from({ length: 30 }, () => ask(agent)));
  const cut = await proxy.drain(10_000);
  assert.equal(cut, 0);
  await assert.rejects(ask(false), /ECONNREFUSED/);
  agent.destroy();
  assert.deepEqual(
    logged.filter((line) => line.includes("worker")),
    [],
  );
});
