// Bytes in tunnels through proxies of HTTP/1 and HTTP/2, with node:http and node:http2 as the proxies.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttp1, type Server } from "node:http";
import {
  createServer as createHttp2,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { type AddressInfo, connect, type Socket } from "node:net";
import { test } from "node:test";
import { hello, serverName } from "#wire/tls/testing/hellos.ts";
import { decodeListener } from "../../../config/decode-listener.ts";
import * as resources from "../../../config/testing/resources.ts";
import { dataPath, type TestDataPath } from "../../../listener/testing/data-path.ts";
import { RawClient, type RawServer, rawServer } from "../../../listener/testing/raw-peers.ts";
import { until } from "../../../listener/testing/requests.ts";

const type = "type.googleapis.com/envoy.extensions.filters";
const log = `access_log: [{ name: f, typed_config: { "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: test, log_format: { json_format: { flags: "%RESPONSE_FLAGS%", host: "%UPSTREAM_HOST%", cause: "%OUTRIGGER_CAUSE%", sent: "%BYTES_SENT%" } } } }]`;
const listener = (tunneling: string, more = "", before = ""): string => `
name: test
address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
listener_filters: [${before}]
filter_chains:
- filters: [{ name: tcp, typed_config: { "@type": ${type}.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: proxy, tunneling_config: { ${tunneling} }, ${log}${more && `, ${more}`} } }]`;
const cluster = (ports: readonly number[], isHttp2: boolean, more = ""): string => `
name: proxy
connect_timeout: 2s
lb_policy: ROUND_ROBIN
load_assignment:
  cluster_name: proxy
  endpoints: [{ lb_endpoints: [${ports.map((port) => `{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${port} } } } }`).join(", ")}] }]
${isHttp2 ? `typed_extension_protocol_options: { envoy.extensions.upstreams.http.v3.HttpProtocolOptions: { "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: { http2_protocol_options: {} } } }` : ""}
${more}`;

interface Asked {
  readonly method: string;
  readonly authority: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, unknown>>;
}

interface TestProxy {
  readonly port: number;
  readonly asked: Asked[];
  /** Connections that carried the tunnels. */
  readonly connections: () => number;
  /** What it answers CONNECT and POST with. */
  status: number;
  stop(): void;
}

/** Joins a tunnel with a connection to the application. */
function join(stream: Socket | ServerHttp2Stream, target: number): void {
  const app = connect({ port: target, host: "127.0.0.1", allowHalfOpen: true });
  for (const side of [stream, app]) side.on("error", () => {});
  stream.pipe(app);
  app.pipe(stream);
  stream.on("close", () => app.destroy());
}

async function listenOn(server: Server | Http2Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

async function http1Proxy(target: number): Promise<TestProxy> {
  const asked: Asked[] = [];
  const sockets = new Set<Socket>();
  // Node ends a tunnel as a whole when one side ends, unless half-open sockets are allowed.
  const server = createHttp1((request, response) => {
    const { method = "", url = "", headers } = request;
    asked.push({ method, authority: headers.host ?? "", path: url, headers });
    response.writeHead(proxy.status);
    response.flushHeaders();
    if (proxy.status !== 200) {
      response.end("no");
      return;
    }
    const app = connect({ port: target, host: "127.0.0.1", allowHalfOpen: true });
    app.on("error", () => {});
    request.pipe(app);
    app.pipe(response);
  });
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
  });
  server.on("connect", (request, socket: Socket, head: Buffer) => {
    const { method = "", url = "", headers } = request;
    asked.push({ method, authority: headers.host ?? "", path: url, headers });
    if (proxy.status !== 200) {
      socket.end(`HTTP/1.1 ${proxy.status} Forbidden\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
    socket.unshift(head);
    Reflect.set(socket, "allowHalfOpen", true);
    join(socket, target);
  });
  const port = await listenOn(server);
  const stop = (): void => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  const proxy: TestProxy = { port, asked, connections: () => sockets.size, status: 200, stop };
  return proxy;
}

async function http2Proxy(target: number): Promise<TestProxy> {
  const asked: Asked[] = [];
  const sessions = new Set<ServerHttp2Session>();
  const server = createHttp2();
  server.on("session", (session) => void sessions.add(session));
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    const { ":method": method = "", ":authority": authority = "", ":path": path = "" } = headers;
    asked.push({ method, authority, path, headers });
    stream.on("error", () => {});
    if (proxy.status !== 200) {
      stream.respond({ ":status": proxy.status }, { endStream: true });
      return;
    }
    stream.respond({ ":status": 200 });
    join(stream, target);
  });
  const port = await listenOn(server);
  const stop = (): void => {
    for (const session of sessions) session.destroy();
    server.close();
  };
  const proxy: TestProxy = { port, asked, connections: () => sessions.size, status: 200, stop };
  return proxy;
}

/** Greets, echoes, and says at the end how much it got. */
async function application(): Promise<RawServer> {
  return rawServer((socket) => {
    let bytes = 0;
    socket.write("welcome ");
    socket.on("data", (data) => {
      bytes += data.length;
      socket.write(data);
    });
    socket.on("end", () => socket.end(` end after ${bytes}`));
  });
}

async function tunnelTo(listenerYaml: string, clusterYaml: string): Promise<TestDataPath> {
  const path = dataPath();
  path.clusters.update(resources.clusterConfig(clusterYaml));
  await path.listeners.update(resources.listenerConfig(listenerYaml));
  return path;
}

function idle(path: TestDataPath): boolean {
  const described = path.clusters.describe()[0];
  return path.listeners.connectionCount === 0 && described?.counters.activeRequests === 0;
}

for (const version of ["HTTP/1", "HTTP/2"] as const) {
  const isHttp2 = version === "HTTP/2";
  const startProxy = isHttp2 ? http2Proxy : http1Proxy;

  test(`${version}: CONNECT carries a server that speaks first, and each side ends by itself`, async () => {
    const app = await application();
    const proxy = await startProxy(app.port);
    const headers = `headers_to_add: [{ header: { key: X-Client, value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%" } }]`;
    const path = await tunnelTo(listener(`hostname: "db.example:3306", ${headers}`), cluster([proxy.port], isHttp2));
    const client = new RawClient(path.port());
    await client.sees("welcome ");
    client.send("hello");
    await client.sees("welcome hello");
    client.socket.end();
    await client.isEnded();
    assert.equal(client.text, "welcome hello end after 5");
    assert.deepEqual(
      proxy.asked.map(({ method, authority, headers: said }) => [method, authority, said["x-client"]]),
      [["CONNECT", "db.example:3306", "127.0.0.1"]],
    );
    await until(() => idle(path) && path.logs.length === 1);
    assert.equal(path.logs[0]?.["flags"], "-");
    assert.equal(path.logs[0]?.["host"], `127.0.0.1:${proxy.port}`);
    assert.equal(path.logs[0]?.["sent"], client.text.length);
    path.stop();
    proxy.stop();
    app.stop();
  });

  test(`${version}: POST carries bytes as its two bodies`, async () => {
    const app = await application();
    const proxy = await startProxy(app.port);
    const tunneling = `hostname: "db.example:3306", use_post: true, post_path: "/tunnel?to=db"`;
    const path = await tunnelTo(listener(tunneling), cluster([proxy.port], isHttp2));
    const client = new RawClient(path.port());
    client.send("hello");
    client.socket.end();
    await client.isEnded();
    assert.equal(client.text, "welcome hello end after 5");
    const [asked] = proxy.asked;
    assert.deepEqual([asked?.method, asked?.authority, asked?.path], ["POST", "db.example:3306", "/tunnel?to=db"]);
    await until(() => idle(path));
    path.stop();
    proxy.stop();
    app.stop();
  });

  test(`${version}: much in both directions, with a client that reads late, arrives whole`, async () => {
    const app = await application();
    const proxy = await startProxy(app.port);
    const path = await tunnelTo(listener(`hostname: "a:1"`), cluster([proxy.port], isHttp2));
    const size = 12 * 1024 * 1024;
    const client = connect({ port: path.port(), host: "127.0.0.1", allowHalfOpen: true });
    client.end(Buffer.alloc(size, 7));
    await new Promise((resolve) => setTimeout(resolve, 100));
    let received = 0;
    client.on("data", (data) => (received += data.length));
    await once(client, "end");
    assert.equal(received, size + "welcome ".length + ` end after ${size}`.length);
    client.destroy();
    await until(() => idle(path));
    path.stop();
    proxy.stop();
    app.stop();
  });

  test(`${version}: a proxy that says no is a failed attempt, and another one is asked`, async () => {
    const app = await application();
    const no = await startProxy(app.port);
    const yes = await startProxy(app.port);
    no.status = 403;
    const ports = [no.port, yes.port];
    const path = await tunnelTo(listener(`hostname: "a:1"`, "max_connect_attempts: 2"), cluster(ports, isHttp2));
    for (let i = 0; i < 4; i++) {
      const client = new RawClient(path.port());
      await client.sees("welcome ");
      client.socket.resetAndDestroy();
    }
    assert.ok(no.asked.length > 0);
    yes.status = 502;
    const client = new RawClient(path.port());
    await client.isEnded();
    assert.equal(client.text, "");
    await until(() => idle(path) && path.logs.length === 5);
    assert.equal(path.logs.at(-1)?.["flags"], "UF,URX");
    assert.match(
      String(path.logs.at(-1)?.["cause"]),
      /the proxy answered CONNECT a:1 with (403|502).* \(attempt 2 of 2\)/,
    );
    path.stop();
    no.stop();
    yes.stop();
    app.stop();
  });

  test(`${version}: a client that leaves before the answer, and a proxy that goes, leave nothing behind`, async () => {
    const app = await application();
    const silent = await rawServer(() => {});
    const path = await tunnelTo(listener(`hostname: "a:1"`), cluster([silent.port], isHttp2));
    const early = new RawClient(path.port());
    await until(() => silent.sockets.size === 1);
    early.socket.resetAndDestroy();
    await until(() => idle(path));
    const proxy = await startProxy(app.port);
    path.clusters.update(resources.clusterConfig(cluster([proxy.port], isHttp2)));
    const client = new RawClient(path.port());
    await client.sees("welcome ");
    proxy.stop();
    await client.isEnded();
    // HTTP/1 can't tell an end of the server's half from the end of it all.
    client.socket.end();
    await until(() => idle(path) && path.logs.length === 2);
    if (isHttp2) assert.equal(path.logs.at(-1)?.["flags"], "UC");
    path.stop();
    silent.stop();
    app.stop();
  });
}

test("tunnels share one connection of HTTP/2, each with its own end", async () => {
  const app = await application();
  const proxy = await http2Proxy(app.port);
  const path = await tunnelTo(listener(`hostname: "a:1"`), cluster([proxy.port], true));
  const clients = Array.from({ length: 10 }, () => new RawClient(path.port()));
  for (const [i, client] of clients.entries()) client.send(`client ${i}`);
  await Promise.all(clients.map((client, i) => client.sees(`welcome client ${i}`)));
  for (const client of clients.slice(1)) client.socket.resetAndDestroy();
  await until(() => path.listeners.connectionCount === 1);
  clients[0]?.send(" still here");
  await clients[0]?.sees("client 0 still here");
  assert.equal(proxy.connections(), 1);
  clients[0]?.socket.resetAndDestroy();
  await until(() => idle(path));
  path.stop();
  proxy.stop();
  app.stop();
});

test("the destination is taken from the server name; without one nothing is asked for", async () => {
  const app = await application();
  const proxy = await http1Proxy(app.port);
  const inspector = `{ name: tls, typed_config: { "@type": ${type}.listener.tls_inspector.v3.TlsInspector } }`;
  const chain = listener(`hostname: "%REQUESTED_SERVER_NAME%:443"`, "", inspector).replace(
    "- filters:",
    "- filter_chain_match: { transport_protocol: tls }\n  filters:",
  );
  const path = await tunnelTo(chain, cluster([proxy.port], false));
  const named = new RawClient(path.port());
  named.send(hello([serverName("db.example")]));
  await named.sees("welcome ");
  assert.equal(proxy.asked[0]?.path, "db.example:443");
  const nameless = new RawClient(path.port());
  nameless.send(hello([]));
  await nameless.isEnded();
  assert.equal(nameless.text, "");
  assert.equal(proxy.asked.length, 1);
  await until(() => path.logs.length === 1);
  assert.match(String(path.logs[0]?.["cause"]), /does not say where its tunnel goes/);
  named.socket.resetAndDestroy();
  path.stop();
  proxy.stop();
  app.stop();
});

test("what a client says can't add header lines or another destination", async () => {
  const app = await application();
  const proxy = await http1Proxy(app.port);
  const rule = `rules: [{ tlv_type: 0xEA, on_tlv_present: { key: to } }]`;
  const proxyHeader = `{ name: p, typed_config: { "@type": ${type}.listener.proxy_protocol.v3.ProxyProtocol, ${rule} } }`;
  const said = "%DYNAMIC_METADATA(envoy.filters.listener.proxy_protocol:to)%";
  const tunneling = (hostname: string): string =>
    listener(`hostname: "${hostname}", headers_to_add: [{ header: { key: x-to, value: "${said}" } }]`, "", proxyHeader);
  const header = (value: string): Buffer => {
    const tlv = Buffer.concat([Buffer.from([0xea, 0, value.length]), Buffer.from(value, "latin1")]);
    const addresses = Buffer.from([203, 0, 113, 7, 10, 0, 0, 1, 0x10, 0, 0, 80]);
    const size = Buffer.alloc(2);
    size.writeUInt16BE(addresses.length + tlv.length);
    return Buffer.concat([Buffer.from("\r\n\r\n\0\r\nQUIT\n\x21\x11", "latin1"), size, addresses, tlv]);
  };
  const path = await tunnelTo(tunneling(said), cluster([proxy.port], false));
  const good = new RawClient(path.port());
  good.send(header("a.example:80"));
  await good.sees("welcome ");
  assert.equal(proxy.asked[0]?.path, "a.example:80");
  for (const to of ["a:1 HTTP/1.1\r\nX: y", "a b", "user@a:1", "a/b"]) {
    const bad = new RawClient(path.port());
    bad.send(header(to));
    await bad.isEnded();
    assert.equal(bad.text, "");
  }
  assert.equal(proxy.asked.length, 1);
  await path.listeners.update(resources.listenerConfig(tunneling("b:1")));
  const lines = new RawClient(path.port());
  lines.send(header("x\r\nInjected: 1"));
  await lines.sees("welcome ");
  assert.equal(proxy.asked[1]?.headers["x-to"], "xInjected: 1");
  assert.equal(proxy.asked[1]?.headers["injected"], undefined);
  for (const client of [good, lines]) client.socket.resetAndDestroy();
  path.stop();
  proxy.stop();
  app.stop();
});

test("the circuit breaker's limit of requests closes one tunnel too many with UO", async () => {
  const app = await application();
  const proxy = await http2Proxy(app.port);
  const limits = "circuit_breakers: { thresholds: [{ max_requests: 1 }] }";
  const path = await tunnelTo(listener(`hostname: "a:1"`), cluster([proxy.port], true, limits));
  const first = new RawClient(path.port());
  await first.sees("welcome ");
  const second = new RawClient(path.port());
  await second.isEnded();
  await until(() => path.logs.length === 1);
  assert.equal(path.logs[0]?.["flags"], "UO");
  first.socket.resetAndDestroy();
  await until(() => idle(path));
  const third = new RawClient(path.port());
  await third.sees("welcome ");
  third.socket.resetAndDestroy();
  path.stop();
  proxy.stop();
  app.stop();
});

test("tunnels that can't be are refused with the field's name", () => {
  const refusal = (tunneling: string): string =>
    resources.refusalOf(decodeListener(resources.listenerOf(listener(tunneling))));
  assert.match(refusal(""), /tunneling_config\.hostname: is missing/);
  assert.match(refusal(`hostname: a, post_path: /x`), /post_path: is for use_post/);
  assert.match(refusal(`hostname: a, use_post: true, post_path: x`), /"x" is not a path/);
  assert.match(refusal(`hostname: "%WHAT%"`), /hostname.*%WHAT%/);
  const header = (name: string): string => `hostname: a, headers_to_add: [{ header: { key: "${name}", value: x } }]`;
  for (const name of [":path", "Host", "transfer-encoding"]) {
    assert.match(refusal(header(name)), new RegExp(`"${name}" may not be set`));
  }
});
