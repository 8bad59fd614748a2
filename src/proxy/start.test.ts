// A whole proxy on real sockets, from a bootstrap file, seen through its listeners and its admin API.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { LogRegistry } from "#base/log/log.ts";
import { SecretStore } from "#wire/tls/secrets.ts";
import type { ProxyOptions, RunningProxy } from "./options.ts";
import { startProxy } from "./start.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-start-"));
const upstream = createServer((request, response) => response.end(`hello ${request.url}`));
const localhost = { host: "127.0.0.1", port: 0 };
let proxy: RunningProxy;
let quits = 0;

const bootstrap = (upstreamPort: number, listenerPort = 0): string => `
node: { id: bench, cluster: bench }
layered_runtime:
  layers:
  - { name: base, static_layer: { route: { share: 0 } } }
  - { name: admin, admin_layer: {} }
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
          access_log:
          - name: file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: ${join(folder, "access.log")}
              log_format: { text_format_source: { inline_string: "%REQ(:METHOD)% %RESPONSE_CODE% %UPSTREAM_CLUSTER%\\n" } }
          route_config:
            name: r
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - { match: { prefix: /shared, runtime_fraction: { default_value: {}, runtime_key: route.share } }, direct_response: { status: 202 } }
              - { match: { prefix: /teapot }, direct_response: { status: 418 } }
              - { match: { prefix: / }, route: { cluster: up } }
          http_filters:
          - { name: stats, typed_config: { "@type": type.googleapis.com/stats.PluginConfig } }
          - { name: router, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router } }
  clusters:
  - name: up
    type: STATIC
    metadata: { filter_metadata: { my.filter: { some_key: { otherKey: 1 } } } }
    load_assignment:
      cluster_name: up
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${upstreamPort} } } } }] }]
`;

const options = (yaml: string): ProxyOptions => {
  const path = join(folder, "bootstrap.yaml");
  writeFileSync(path, yaml);
  return {
    node: {
      id: "sidecar~10.0.0.1~a.default~default.svc.cluster.local",
      cluster: "a.default",
      locality: { region: "", zone: "", subZone: "" },
      metadata: { WORKLOAD_NAME: "a-v1", NAMESPACE: "default", LABELS: { app: "a" } },
    },
    role: "sidecar",
    version: "1.31.0",
    bootstrap: { path },
    secrets: new SecretStore(),
    log: new LogRegistry({ level: "none" }),
    servers: { admin: localhost, prometheus: localhost, readiness: localhost },
    quit: () => quits++,
  };
};

before(async () => {
  await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  proxy = await startProxy(options(bootstrap((upstream.address() as AddressInfo).port)));
});

after(async () => {
  await proxy.stop();
  upstream.close();
  upstream.closeAllConnections();
  rmSync(folder, { recursive: true });
});

const ask = async (
  port: number | undefined,
  path: string,
  method = "GET",
): Promise<{ status: number; text: string }> => {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { method });
  return { status: response.status, text: await response.text() };
};
const admin = (path: string, method = "GET") => ask(proxy.adminPort, path, method);

test("a request goes through the listener to the cluster and is counted", async () => {
  assert.deepEqual(await ask(proxy.listenerPort("in"), "/x"), { status: 200, text: "hello /x" });
  assert.equal((await ask(proxy.listenerPort("in"), "/teapot")).status, 418);
  const metrics = await ask(proxy.prometheusPort, "/stats/prometheus");
  assert.match(
    metrics.text,
    /istio_requests_total\{reporter="source",source_workload="a-v1".*response_code="200".*\} 1\n/,
  );
  assert.match(metrics.text, /istio_requests_total\{.*response_code="418".*\} 1\n/);
  assert.match(metrics.text, /envoy_server_live\{\} 1\n/);
});

test("readiness and server state are told on their ports", async () => {
  assert.equal(proxy.ready(), true);
  assert.deepEqual(await ask(proxy.readinessPort, "/healthz/ready"), { status: 200, text: "LIVE\n" });
  assert.equal((await ask(proxy.readinessPort, "/config_dump")).status, 404);
  assert.equal((await admin("/ready")).status, 200);
  assert.equal(JSON.parse((await admin("/server_info")).text).state, "LIVE");
});

test("the configuration dump shows accepted resources in Envoy's shape", async () => {
  const dump = JSON.parse((await admin("/config_dump?include_eds")).text) as { configs: Record<string, unknown>[] };
  assert.deepEqual(
    dump.configs.map((config) => String(config["@type"]).split(".").at(-1)),
    [
      "BootstrapConfigDump",
      "ClustersConfigDump",
      "EndpointsConfigDump",
      "ListenersConfigDump",
      "RoutesConfigDump",
      "EcdsConfigDump",
      "SecretsConfigDump",
    ],
  );
  const listeners = dump.configs[3]?.["static_listeners"] as {
    listener: { name: string; "@type": string; filter_chains: { filters: { typed_config: object }[] }[] };
  }[];
  assert.equal(listeners[0]?.listener.name, "in");
  assert.equal(listeners[0]?.listener["@type"], "type.googleapis.com/envoy.config.listener.v3.Listener");
  assert.ok("stat_prefix" in (listeners[0]?.listener.filter_chains[0]?.filters[0]?.typed_config ?? {}));
  const one = JSON.parse((await admin("/config_dump?resource=static_clusters&name_regex=u.")).text) as {
    configs: { "@type": string; cluster: { metadata: object } }[];
  };
  assert.equal(one.configs.length, 1);
  assert.equal(one.configs[0]?.["@type"], "type.googleapis.com/envoy.admin.v3.ClustersConfigDump.StaticCluster");
  assert.deepEqual(one.configs[0]?.cluster.metadata, {
    filter_metadata: { "my.filter": { some_key: { otherKey: 1 } } },
  });
  assert.deepEqual(JSON.parse((await admin("/config_dump?name_regex=nothing&resource=static_clusters")).text), {
    configs: [],
  });
  assert.deepEqual(await admin("/config_dump?resource=nonsense"), {
    status: 404,
    text: "nonsense not found in config dump",
  });
  assert.deepEqual(await admin("/config_dump?resource=version_info"), {
    status: 400,
    text: "version_info is not a repeated field. Use ?mask=version_info to get only this field",
  });
  assert.equal((await admin("/config_dump?name_regex=(")).status, 400);
});

test("the configuration dump shows only what a mask names", async () => {
  const of = async (query: string): Promise<Record<string, unknown>[]> =>
    (JSON.parse((await admin(`/config_dump?${query}`)).text) as { configs: Record<string, unknown>[] }).configs;
  const clusters = await of("mask=static_clusters");
  assert.deepEqual(
    clusters.map((config) => [String(config["@type"]).split(".").at(-1), Object.keys(config).length]),
    [["ClustersConfigDump", 2]],
  );
  const bootstraps = await of("mask=bootstrap.node.id");
  assert.deepEqual(bootstraps[0]?.["bootstrap"], { node: { id: "bench" } });
  const [one] = await of("resource=static_clusters&mask=cluster.name,last_updated&name_regex=up");
  assert.deepEqual(Object.keys(one ?? {}), ["@type", "cluster", "last_updated"]);
  assert.deepEqual(Object.keys((one?.["cluster"] ?? {}) as object), ["@type", "name"]);
  assert.equal((await admin("/config_dump?mask=nothing")).status, 400);
  assert.match(
    (await admin("/config_dump?resource=static_clusters&mask=cluster.nothing")).text,
    /^FieldMask cluster\.nothing /,
  );
});

test("the dump, server info, listeners and clusters have the field names of the proto files", async () => {
  for (const path of ["/config_dump?include_eds", "/server_info", "/listeners?format=json", "/clusters?format=json"]) {
    const names = fieldNames(JSON.parse((await admin(path)).text));
    assert.notEqual(names.length, 0);
    assert.deepEqual(
      names.filter((name) => /[A-Z]/.test(name)),
      [],
      path,
    );
  }
  const { node, ...info } = JSON.parse((await admin("/server_info")).text);
  assert.deepEqual(Object.keys(node.locality), ["region", "zone", "sub_zone"]);
  assert.deepEqual(Object.keys(info), [
    "version",
    "state",
    "uptime_current_epoch",
    "uptime_all_epochs",
    "command_line_options",
  ]);
  assert.deepEqual(JSON.parse((await admin("/init_dump")).text), { unready_targets_dumps: [] });
});

/** All keys but those of free-form metadata. */
function fieldNames(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(fieldNames);
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, below]) =>
    key === "metadata" || key === "filter_metadata" ? [key] : [key, ...fieldNames(below)],
  );
}

test("clusters show their endpoints as text and JSON", async () => {
  assert.match((await admin("/clusters")).text, /^up::127\.0\.0\.1:\d+::health_flags::healthy$/m);
  const { cluster_statuses } = JSON.parse((await admin("/clusters?format=json")).text);
  assert.equal(cluster_statuses[0].host_statuses[0].health_status.eds_health_status, "HEALTHY");
});

test("runtime values of the bootstrap are shown, changed and taken back", async () => {
  assert.equal((await admin("/runtime_modify?a=1")).status, 405);
  assert.equal((await admin("/runtime_modify", "POST")).status, 400);
  const serve = async (path: string): Promise<number> => (await ask(proxy.listenerPort("in"), path)).status;
  assert.equal(await serve("/shared"), 200);
  assert.deepEqual(await admin("/runtime_modify?route.share=100&other=x", "POST"), { status: 200, text: "OK\n" });
  assert.equal(await serve("/shared"), 202);
  assert.deepEqual(JSON.parse((await admin("/runtime")).text), {
    layers: ["base", "admin"],
    entries: {
      other: { final_value: "x", layer_values: ["", "x"] },
      "route.share": { final_value: "100", layer_values: ["0", "100"] },
    },
  });
  const form = await fetch(`http://127.0.0.1:${proxy.adminPort}/runtime_modify`, {
    method: "POST",
    body: new URLSearchParams({ "route.share": "", other: "" }),
  });
  assert.equal(await form.text(), "OK\n");
  assert.equal(await serve("/shared"), 200);
});

test("log levels are shown and changed", async () => {
  assert.match((await admin("/logging")).text, / {2}xds: none\n/);
  assert.equal((await admin("/logging?level=debug")).status, 405);
  assert.match((await admin("/logging?xds=error", "POST")).text, / {2}xds: error\n/);
  assert.equal((await admin("/logging?nonsense=error", "POST")).status, 400);
  assert.match((await admin("/logging?level=off", "POST")).text, / {2}xds: none\n/);
});

test("what changes the proxy needs POST", async () => {
  assert.equal((await admin("/quitquitquit")).status, 405);
  assert.equal((await admin("/drain_listeners")).status, 405);
  assert.equal(quits, 0);
  assert.equal((await admin("/quitquitquit", "POST")).status, 200);
  assert.equal(quits, 1);
  assert.equal((await admin("/nowhere")).status, 404);
});

test("counters are reset for who looks at them", async () => {
  const total = async (): Promise<string> => (await admin("/stats?filter=^cluster.up.upstream_rq_total$")).text;
  assert.notEqual(await total(), "cluster.up.upstream_rq_total: 0\n");
  assert.equal((await admin("/reset_counters")).status, 405);
  assert.equal((await admin("/reset_counters", "POST")).text, "OK\n");
  assert.equal(await total(), "cluster.up.upstream_rq_total: 0\n");
  await ask(proxy.listenerPort("in"), "/z");
  assert.equal(await total(), "cluster.up.upstream_rq_total: 1\n");
});

test("statistics are filtered by use and type, and a wrong question is told", async () => {
  const used = (await admin("/stats?usedonly&type=Counters")).text.trim().split("\n");
  assert.ok(used.length > 1);
  assert.deepEqual(
    used.filter((line) => line.endsWith(": 0") || line.startsWith("server.uptime")),
    [],
  );
  assert.equal((await admin("/stats?format=xml")).status, 400);
  assert.equal((await admin("/stats?type=Nonsense")).status, 400);
  assert.equal((await admin("/hot_restart_version")).text, "disabled\n");
  assert.match((await admin("/contention")).text, /not enabled/);
  assert.equal((await admin("/stats/recentlookups")).status, 501);
  assert.equal((await admin("/stats/recentlookups/enable", "POST")).status, 501);
  assert.ok(Number(JSON.parse((await admin("/memory")).text).allocated) > 1e6);
});

test("histograms are shown as percentiles, buckets and for Prometheus", async () => {
  for (const path of ["/a", "/b"]) await ask(proxy.listenerPort("in"), path);
  const text = async (query: string): Promise<string> => (await admin(`/stats?${query}`)).text;
  assert.match(
    await text("filter=^cluster.up.upstream_rq_time$"),
    /^cluster\.up\.upstream_rq_time: P0\(.*P100\([^)]*\)\n$/,
  );
  assert.match(
    await text("filter=^http.in.downstream_rq_time$&histogram_buckets=cumulative"),
    /B3\.6e\+06\(\d+,\d+\)\n$/,
  );
  assert.match(await text("type=Histograms&filter=downstream_cx_length_ms"), /^http\.in\..*\nlistener\.[^\n]*\n$/);
  assert.match(await text("filter=server&type=Histograms"), /^$/);
  assert.equal((await admin("/stats?histogram_buckets=some")).status, 400);
  const { stats } = JSON.parse(await text("format=json&filter=upstream_rq_time$")) as {
    stats: { histograms: { computed_quantiles: { name: string }[] } }[];
  };
  assert.equal(stats[0]?.histograms.computed_quantiles[0]?.name, "cluster.up.upstream_rq_time");
  const series = (await admin("/stats/prometheus?filter=upstream_cx_connect_ms")).text.split("\n");
  assert.equal(series[0], "# TYPE envoy_cluster_upstream_cx_connect_ms histogram");
  assert.match(
    series[1] ?? "",
    /^envoy_cluster_upstream_cx_connect_ms_bucket\{envoy_cluster_name="up",le="0\.5"\} \d+$/,
  );
  assert.doesNotMatch((await admin("/stats/prometheus")).text, /upstream_cx_connect_ms/, "not on Istio's minimal list");
  const counted = await text("filter=^http.in.downstream_(rq_2xx|rq_http1_total|cx_total)");
  assert.match(counted, /cx_total: \d+\n.*rq_2xx: [1-9]\d*\n.*rq_http1_total: [1-9]/s);
});

test("codecs are counted for clients and by cluster, in /stats and for Prometheus", async () => {
  await ask(proxy.listenerPort("in"), "/a");
  const text = (await admin("/stats?filter=http[12]\\.")).text;
  for (const name of ["http1.protocol_error", "http2.rx_reset", "cluster.up.http2.streams_active"]) {
    assert.match(text, new RegExp(`^${name}: 0$`, "m"));
  }
  const series = (await admin("/stats/prometheus?filter=http2")).text;
  assert.match(series, /^# TYPE envoy_http2_rx_reset counter\nenvoy_http2_rx_reset\{\} 0$/m);
  assert.match(series, /^# TYPE envoy_cluster_http2_streams_active gauge\n.*envoy_cluster_name="up"\} 0$/m);
});

test("a failed health check asks clients to leave until it is well again", async () => {
  assert.equal((await admin("/healthcheck/fail")).status, 405);
  assert.equal((await admin("/healthcheck/fail", "POST")).text, "OK\n");
  assert.deepEqual(await ask(proxy.readinessPort, "/healthz/ready"), { status: 503, text: "DRAINING\n" });
  const connection = async (): Promise<string | null> =>
    (await fetch(`http://127.0.0.1:${proxy.listenerPort("in")}/y`)).headers.get("connection");
  assert.equal(await connection(), "close");
  assert.equal((await admin("/healthcheck/ok", "POST")).text, "OK\n");
  assert.notEqual(await connection(), "close");
  assert.equal(proxy.ready(), true);
});

test("a draining proxy is not ready and asks clients to leave", async () => {
  assert.deepEqual(await admin("/drain_listeners?skip_exit", "POST"), {
    status: 400,
    text: "skip_exit requires graceful\n",
  });
  assert.equal((await admin("/drain_listeners?graceful&skip_exit", "POST")).status, 200);
  assert.equal(proxy.ready(), false);
  assert.deepEqual(await ask(proxy.readinessPort, "/healthz/ready"), { status: 503, text: "DRAINING\n" });
  const response = await fetch(`http://127.0.0.1:${proxy.listenerPort("in")}/y`);
  assert.equal(response.headers.get("connection"), "close");
  await response.text();
  const port = proxy.listenerPort("in");
  assert.equal((await admin("/drain_listeners?inboundonly", "POST")).status, 200);
  assert.equal((await ask(port, "/still")).status, 200, "the listener is not an inbound one");
  assert.equal((await admin("/drain_listeners", "POST")).status, 200);
  await assert.rejects(ask(port, "/late"), "the socket is closed");
  assert.equal(await proxy.drain(2000), 0);
});

test("a bootstrap that is wrong ends the start with its reason and leaves nothing running", async () => {
  await assert.rejects(startProxy(options("static_resources: { nonsense: 1 }")), /is not an Envoy bootstrap.*nonsense/);
  const badFilter = bootstrap(1).replace("stats.PluginConfig", "envoy.config.core.v3.Node");
  await assert.rejects(startProxy(options(badFilter)), /not an Envoy bootstrap|HTTP filter stats/);
  await assert.rejects(
    startProxy({ ...options(""), bootstrap: { path: join(folder, "absent.yaml") } }),
    /is not readable/,
  );
});

test("a port that is taken is told", async () => {
  const taken = createTcpServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  const { port } = taken.address() as AddressInfo;
  await assert.rejects(startProxy(options(bootstrap(1, port))), /can't bind listener in/);
  await assert.rejects(
    startProxy({ ...options(bootstrap(1)), servers: { admin: { host: "127.0.0.1", port } } }),
    new RegExp(`can't listen on 127.0.0.1:${port}`),
  );
  taken.close();
});

test("a proxy needs exactly one source of configuration", async () => {
  const { bootstrap: _, ...rest } = options(bootstrap(1));
  await assert.rejects(startProxy(rest), /either a control plane or a bootstrap/);
});

test("Prometheus is shown what the workload's settings include", async (t) => {
  const settings = options(bootstrap((upstream.address() as AddressInfo).port));
  const including = await startProxy({
    ...settings,
    node: {
      ...settings.node,
      metadata: {
        ...settings.node.metadata,
        PROXY_CONFIG: { proxyStatsMatcher: { inclusionSuffixes: ["upstream_rq_total"] } },
      },
    },
  });
  t.after(() => including.stop());
  const shown = (await ask(including.prometheusPort, "/stats/prometheus")).text;
  assert.match(shown, /^envoy_cluster_upstream_rq_total\{/m);
  assert.match(shown, /^envoy_server_live/m);
  assert.doesNotMatch(shown, /upstream_rq_retry/);
  assert.doesNotMatch((await ask(proxy.prometheusPort, "/stats/prometheus")).text, /upstream_rq_total/);
});
