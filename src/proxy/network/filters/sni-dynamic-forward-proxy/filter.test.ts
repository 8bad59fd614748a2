// TLS that passes on to whatever host its hello names: real clients and servers of TLS on both sides.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { after, before, type TestContext, test } from "node:test";
import { connect, createServer } from "node:tls";
import { silentLogger } from "#base/log/log.ts";
import { SecretStore } from "#wire/tls/secrets.ts";
import * as resources from "../../../config/testing/resources.ts";
import { newTrace } from "../../../config/trace.ts";
import { decideGateway } from "../../../decide/decide.ts";
import { type TestAuthority, testAuthority } from "../../../listener/testing/certificates.ts";
import { dataPath } from "../../../listener/testing/data-path.ts";
import { until } from "../../../listener/testing/requests.ts";
import { EventLoop } from "../../../transport/event-loop.ts";
import { ClusterManager } from "../../../upstream/cluster-manager.ts";

let authority: TestAuthority;
before(() => {
  authority = testAuthority();
});
after(() => authority.stop());

const type = "type.googleapis.com/envoy.extensions.filters";
const cache = "{ name: names, dns_lookup_family: V4_ONLY }";
const listener = (port: number): string => `
name: test
address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
listener_filters:
- { name: tls, typed_config: { "@type": ${type}.listener.tls_inspector.v3.TlsInspector } }
filter_chains:
- filters:
  - { name: sni, typed_config: { "@type": ${type}.network.sni_dynamic_forward_proxy.v3.FilterConfig, port_value: ${port}, dns_cache_config: ${cache} } }
  - name: tcp
    typed_config:
      "@type": ${type}.network.tcp_proxy.v3.TcpProxy
      stat_prefix: t
      cluster: any
      access_log: [{ name: f, typed_config: { "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog,
        path: test, log_format: { json_format: { flags: "%RESPONSE_FLAGS%", details: "%CONNECTION_TERMINATION_DETAILS%" } } } }]
`;
const cluster = `
name: any
lb_policy: CLUSTER_PROVIDED
cluster_type:
  name: envoy.clusters.dynamic_forward_proxy
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig
    dns_cache_config: ${cache}
`;

async function running(t: TestContext) {
  const { certificateChain: cert, privateKey: key } = authority.issueFor("DNS:a.example");
  const server = createServer({ cert, key }, (socket) => {
    socket.on("error", () => {});
    socket.end(`hello ${String((socket as unknown as { servername: string }).servername)}`);
  });
  server.on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const loop = new EventLoop({ sweepMs: 20 });
  const asked: string[] = [];
  const clusters = new ClusterManager({
    loop,
    secrets: new SecretStore(),
    log: silentLogger,
    resolve: ({ host }, done) => {
      asked.push(host);
      const addresses = host === "a.example" ? ["127.0.0.1"] : [];
      setImmediate(() => done({ addresses, ttlMs: null, error: null }));
    },
  });
  const path = dataPath({ loop, clusters });
  clusters.update(resources.clusterConfig(cluster));
  await path.listeners.update(resources.listenerConfig(listener((server.address() as AddressInfo).port)));
  t.after(() => {
    path.stop();
    server.close();
  });
  /** Empty when it was refused. */
  const hear = (servername: string | undefined): Promise<string> =>
    new Promise((resolve) => {
      const socket = connect({
        host: "127.0.0.1",
        port: path.port(),
        rejectUnauthorized: false,
        ...(servername !== undefined && { servername }),
      });
      let text = "";
      socket.on("data", (data) => (text += data.toString()));
      socket.on("error", () => {});
      socket.on("close", () => resolve(text));
    });
  return { path, hear, asked };
}

test("a connection goes to the host of its hello, which is looked up once", async (t) => {
  const { hear, asked } = await running(t);
  assert.equal(await hear("a.example"), "hello a.example");
  assert.equal(await hear("A.example"), "hello A.example");
  assert.deepEqual(asked, ["a.example"]);
});

test("a connection to a host without an address, or to none, is closed and logged with its flag", async (t) => {
  const { hear, path } = await running(t);
  assert.equal(await hear("none.example"), "");
  assert.equal(await hear(undefined), "");
  await until(() => path.logs.length === 2);
  assert.deepEqual(
    path.logs.map((line) => line["flags"]),
    ["DF", "UH"],
  );
  assert.equal(path.logs[0]?.["details"], "dns_resolution_failure{it_has_no_address}");
});

test("explain names the host of the hello", () => {
  const made = { ...resources.listenerConfig(listener(8443)), host: "10.0.0.1", port: 443 };
  const view = {
    listeners: new Map([["l", made]]),
    routes: new Map(),
    clusters: new Map([["any", resources.clusterConfig(cluster)]]),
    endpoints: new Map(),
    extensions: new Map(),
    local: null,
  };
  const ask = (serverName: string): ReturnType<typeof decideGateway> =>
    decideGateway(
      view,
      {
        destinationIp: "10.0.0.1",
        destinationPort: 443,
        sourceIp: "10.0.0.2",
        tls: { serverName, alpn: [], peerId: undefined },
        http: null,
        random: 0,
      },
      newTrace(),
    );
  assert.equal(ask("api.example.com").endpoint?.key, "api.example.com:8443");
  assert.match(ask("").reason, /is told no host/);
  assert.match(ask("not a host").reason, /is no host/);
});
