// The tracer that a proxy has of its own: listeners whose tracing names none send their spans there.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { JsonObject } from "@bufbuild/protobuf";
import { LogRegistry } from "#base/log/log.ts";
import { SecretStore } from "#wire/tls/secrets.ts";
import { until } from "./listener/testing/requests.ts";
import type { RunningProxy } from "./options.ts";
import { startProxy } from "./start.ts";

const types = "type.googleapis.com/envoy";

const bootstrap = (collector: string): string => `
${collector}
static_resources:
  listeners:
  - name: in
    address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": ${types}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          tracing: {}
          route_config: { name: r, virtual_hosts: [{ name: all, domains: ["*"], routes: [{ match: { prefix: / }, direct_response: { status: 200 } }] }] }
          http_filters: [{ name: router, typed_config: { "@type": ${types}.extensions.filters.http.router.v3.Router } }]`;

async function zipkin(t: TestContext) {
  const spans: { readonly name: string; readonly tags: Readonly<Record<string, string>> }[] = [];
  const hosts = new Set<string | undefined>();
  const server = createServer((request, response) => {
    hosts.add(request.headers.host);
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      spans.push(...(JSON.parse(body) as typeof spans));
      response.writeHead(202).end();
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return { spans, hosts, port: (server.address() as AddressInfo).port };
}

async function ask(t: TestContext, yaml: string, proxyConfig: JsonObject, count = 5): Promise<RunningProxy> {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-tracer-"));
  const path = join(folder, "bootstrap.yaml");
  writeFileSync(path, yaml);
  const proxy = await startProxy({
    node: {
      id: "sidecar~10.0.0.1~a.default~default.svc.cluster.local",
      cluster: "a.default",
      locality: { region: "", zone: "", subZone: "" },
      metadata: { PROXY_CONFIG: proxyConfig },
    },
    role: "sidecar",
    version: "1.31.0",
    bootstrap: { path },
    secrets: new SecretStore(),
    log: new LogRegistry({ level: "none" }),
    servers: {},
  });
  t.after(async () => {
    await proxy.stop();
    rmSync(folder, { recursive: true });
  });
  // So many that they leave at once.
  for (let i = 0; i < count; i++) {
    const answer = await fetch(`http://127.0.0.1:${proxy.listenerPort("in")}/`);
    assert.equal(answer.status, 200);
    await answer.text();
  }
  return proxy;
}

test("the Zipkin of Istio's ProxyConfig gets the spans", async (t) => {
  const { spans, hosts, port } = await zipkin(t);
  await ask(t, bootstrap(""), { tracing: { zipkin: { address: `localhost:${port}` } } });
  await until(() => spans.length >= 5);
  assert.deepEqual([...hosts], ["zipkin"]);
  assert.equal(spans[0]?.tags["http.status_code"], "200");
});

test("spans that still wait go out when the proxy drains", async (t) => {
  const { spans, port } = await zipkin(t);
  const proxy = await ask(t, bootstrap(""), { tracing: { zipkin: { address: `localhost:${port}` } } }, 2);
  assert.equal(spans.length, 0, "two spans wait for more");
  await proxy.drain(10_000);
  assert.equal(spans.length, 2);
});

test("a collector that does not answer delays the end of a drain by a second only", async (t) => {
  const silent = createServer(() => {}).listen(0, "127.0.0.1");
  await once(silent, "listening");
  t.after(() => {
    silent.close();
    silent.closeAllConnections();
  });
  const { port } = silent.address() as AddressInfo;
  const proxy = await ask(t, bootstrap(""), { tracing: { zipkin: { address: `localhost:${port}` } } }, 1);
  const asked = once(silent, "request");
  await Promise.all([proxy.drain(10_000), asked]);
});

test("so does the tracer of a bootstrap file", async (t) => {
  const { spans, port } = await zipkin(t);
  const tracer = `
tracing:
  http:
    name: envoy.tracers.zipkin
    typed_config: { "@type": ${types}.config.trace.v3.ZipkinConfig, collector_cluster: collector, collector_endpoint: /spans, collector_endpoint_version: HTTP_JSON }`;
  const cluster = `
  clusters:
  - { name: collector, type: STATIC, load_assignment: { cluster_name: collector, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${port} } } } }] }] } }`;
  await ask(t, bootstrap(tracer) + cluster, {});
  await until(() => spans.length >= 5);
});

test("without one, and with an address that is none, requests are served without spans", async (t) => {
  await ask(t, bootstrap(""), {});
  await ask(t, bootstrap(""), { tracing: { zipkin: { address: "nowhere" } } });
});

test("a tracer that is wrong ends the start with its reason", async (t) => {
  const wrong = `tracing: { http: { name: z, typed_config: { "@type": ${types}.config.trace.v3.ZipkinConfig, collector_endpoint_version: HTTP_JSON } } }`;
  await assert.rejects(ask(t, bootstrap(wrong), {}), /tracing\.http: names no cluster of collectors/);
});
