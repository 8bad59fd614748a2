// The sockets of listeners and of connections to endpoints: Unix sockets, several addresses, options, limits.
import assert from "node:assert/strict";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer as createWebServer } from "node:http";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { descriptorOf, SocketCalls } from "#base/net/socket-calls.ts";
import { PROXY_DONE, parseProxyHeader } from "#wire/proxy-protocol/parse.ts";
import { decodeCluster } from "../config/decode-cluster.ts";
import { decodeListener } from "../config/decode-listener.ts";
import * as resources from "../config/testing/resources.ts";
import { dataPath, type TestDataPath } from "./testing/data-path.ts";
import { RawClient, rawServer } from "./testing/raw-peers.ts";
import { sendRaw, until } from "./testing/requests.ts";

let directory = "";
before(() => {
  directory = mkdtempSync(join(tmpdir(), "outrigger-sockets-"));
});
after(() => rmSync(directory, { recursive: true, force: true }));

const type = "type.googleapis.com/envoy.extensions.filters";
const log = (fields: string): string =>
  `access_log: [{ name: f, typed_config: { "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: test, log_format: { json_format: { ${fields} } } } }]`;
const logged = log(
  'host: "%UPSTREAM_HOST%", client: "%DOWNSTREAM_REMOTE_ADDRESS%", local: "%DOWNSTREAM_LOCAL_ADDRESS%"',
);
const tcp = `{ name: tcp, typed_config: { "@type": ${type}.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app, ${logged} } }`;
const http = `{ name: h, typed_config: { "@type": ${type}.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: h, ${logged},
  route_config: { name: r, virtual_hosts: [{ name: v, domains: ["*"], routes: [{ match: { prefix: / }, route: { cluster: app } }] }] },
  http_filters: [{ name: router, typed_config: { "@type": ${type}.http.router.v3.Router } }] } }`;
const loopback = "{ socket_address: { address: 127.0.0.1, port_value: 0 } }";
const pipe = (path: string, more = ""): string => `{ pipe: { path: "${path}"${more} } }`;
const yaml = (address: string, filter: string, more = ""): string =>
  `{ name: test, address: ${address}, filter_chains: [{ filters: [${filter.replaceAll("\n", " ")}] }]${more && `, ${more}`} }`;
const clusterOf = (address: string, more = ""): string =>
  `{ name: app, connect_timeout: 2s, load_assignment: { cluster_name: app, endpoints: [{ lb_endpoints: [{ endpoint: { address: ${address} } }] }] }${more && `, ${more}`} }`;

async function serve(listener: string, cluster: string): Promise<TestDataPath> {
  const path = dataPath();
  path.clusters.update(resources.clusterConfig(cluster));
  await path.listeners.update(resources.listenerConfig(listener));
  return path;
}

async function pipeServer(path: string, onConnection: (socket: Socket) => void): Promise<() => void> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    onConnection(socket);
  });
  server.listen({ path });
  await once(server, "listening");
  return () => server.close();
}

/** Sends bytes to a Unix socket and gives what comes back. */
async function talk(path: string, bytes: string): Promise<string> {
  const socket = connect({ path, allowHalfOpen: true });
  let text = "";
  socket.on("data", (data) => (text += data.toString()));
  socket.end(bytes);
  await once(socket, "end");
  socket.destroy();
  return text;
}

test("an application on a Unix socket is reached over TCP and HTTP, and the logs name its path", async () => {
  const path = join(directory, "app.sock");
  const stop = await pipeServer(path, (socket) => {
    let text = "";
    socket.on("data", (data) => (text += data.toString()));
    socket.on("end", () => socket.end(`got ${text}`));
  });
  const bytes = await serve(yaml(loopback, tcp), clusterOf(pipe(path)));
  assert.equal(await sendRaw(bytes.port(), "hello", { end: true }), "got hello");
  await until(() => bytes.logs.length === 1);
  assert.equal(bytes.logs[0]?.["host"], path);
  bytes.stop();
  stop();
  const web = createWebServer((req, res) => res.end(`web ${req.url}`)).listen(path);
  await once(web, "listening");
  const requests = await serve(yaml(loopback, http), clusterOf(pipe(path)));
  const answer = await fetch(`http://127.0.0.1:${requests.port()}/x`, { headers: { connection: "close" } });
  assert.equal(await answer.text(), "web /x");
  await until(() => requests.logs.length === 1);
  assert.equal(requests.logs[0]?.["host"], path);
  requests.stop();
  web.close();
});

test("a Unix socket that nobody listens on is a failed connection with its reason", async () => {
  const path = await serve(yaml(loopback, tcp), clusterOf(pipe(join(directory, "nobody.sock"))));
  assert.equal(await sendRaw(path.port(), "x"), "");
  path.stop();
});

test("a listener on a Unix socket has its mode, replaces a stale file, and removes it at the end", async () => {
  const server = await rawServer((socket) => socket.on("end", () => socket.end("bye")).resume());
  const path = join(directory, "listen.sock");
  const stale = createServer().listen({ path });
  await once(stale, "listening");
  const running = await serve(
    yaml(pipe(path, ", mode: 384"), tcp),
    clusterOf(`{ socket_address: { address: 127.0.0.1, port_value: ${server.port} } }`),
  );
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(await talk(path, "x"), "bye");
  await until(() => running.logs.length === 1);
  assert.equal(running.logs[0]?.["local"], path);
  const [description] = running.listeners.describe();
  assert.deepEqual(description?.addresses, [{ host: path, port: 0 }]);
  running.stop();
  await until(() => !existsSync(path));
  stale.close();
  server.stop();
});

test("a file that is no socket keeps its place", async () => {
  const path = join(directory, "precious");
  writeFileSync(path, "data");
  chmodSync(path, 0o600);
  await assert.rejects(serve(yaml(pipe(path), tcp), clusterOf(loopback)), { code: "LISTENER_BIND" });
  assert.equal(statSync(path).size, 4);
});

test("abstract names serve and are connected to", async () => {
  const name = `@outrigger-${process.pid}`;
  const stop = await pipeServer(`\0outrigger-${process.pid}-app`, (socket) => socket.end("abstract"));
  const path = await serve(yaml(pipe(name), tcp), clusterOf(pipe(`${name}-app`)));
  assert.equal(await talk(`\0${name.slice(1)}`, "x"), "abstract");
  path.stop();
  stop();
});

test("HTTP over a Unix socket is served, without an address of the client", async () => {
  const web = createWebServer((req, res) => res.end(`for ${req.headers["x-forwarded-for"]}`)).listen(0, "127.0.0.1");
  await once(web, "listening");
  const path = join(directory, "http.sock");
  const app = `{ socket_address: { address: 127.0.0.1, port_value: ${(web.address() as AddressInfo).port} } }`;
  const running = await serve(yaml(pipe(path), http), clusterOf(app));
  const text = await talk(path, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  assert.match(text, /^HTTP\/1\.1 200 OK[\s\S]*for undefined$/);
  running.stop();
  web.close();
});

test("several addresses serve one listener, and an update binds and closes only what differs", async () => {
  const server = await rawServer((socket) => socket.write("hi"));
  const one = join(directory, "one.sock");
  const two = join(directory, "two.sock");
  const more = (...paths: readonly string[]): string =>
    `additional_addresses: [${paths.map((path) => `{ address: ${pipe(path)} }`).join(", ")}]`;
  const path = await serve(
    yaml(loopback, tcp, more(one)),
    clusterOf(`{ socket_address: { address: 127.0.0.1, port_value: ${server.port} } }`),
  );
  const { port } = { port: path.port() };
  const open = new RawClient(port);
  await open.sees("hi");
  const first = connect(one);
  await once(first, "data");
  await path.listeners.update(resources.listenerConfig(yaml(loopback, tcp, more(two))));
  assert.equal(path.port(), port, "the port is the same socket");
  const second = connect(two);
  await once(second, "data");
  await until(() => !existsSync(one));
  assert.equal(open.ended, false);
  assert.deepEqual(
    path.listeners.describe()[0]?.addresses.map(({ host }) => host),
    ["127.0.0.1", two],
  );
  // One that can't be bound leaves everything as it was.
  const bad = yaml(loopback, tcp, more("/no/such/folder/x.sock"));
  await assert.rejects(path.listeners.update(resources.listenerConfig(bad)), { code: "LISTENER_BIND" });
  const third = connect(two);
  await once(third, "data");
  for (const socket of [open.socket, first, second, third]) socket.destroy();
  path.stop();
  server.stop();
});

test("socket options are on the listening socket, and those that must come first are there before the address", async () => {
  const server = await rawServer((socket) => socket.write("hi"));
  const options = `socket_options: [{ level: 6, name: 18, int_value: 4321, state: STATE_LISTENING }, { level: 1, name: 9, int_value: 1 }]`;
  const path = await serve(
    yaml(loopback, tcp, options),
    clusterOf(`{ socket_address: { address: 127.0.0.1, port_value: ${server.port} } }`),
  );
  const calls = new SocketCalls(assert.fail);
  const client = new RawClient(path.port());
  await client.sees("hi");
  client.socket.destroy();
  path.stop();
  // An address that this machine does not have can be bound with IP_FREEBIND only.
  const foreign = "{ socket_address: { address: 192.0.2.77, port_value: 0 } }";
  await assert.rejects(serve(yaml(foreign, tcp), clusterOf(loopback)), { code: "LISTENER_BIND" });
  const freebind = await serve(yaml(foreign, tcp, "freebind: true"), clusterOf(loopback));
  freebind.stop();
  // Accepted connections inherit what the listening socket has.
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(4321);
  const option = { level: 6, name: 18, value: bytes, description: "TCP_USER_TIMEOUT" };
  assert.equal(calls.setOption(descriptorOf(probe), option), null);
  const value = Buffer.alloc(4);
  const length = Buffer.from([4, 0, 0, 0]);
  assert.equal(calls.getOption(descriptorOf(probe), 6, 18, value, length), true);
  assert.equal(value.readInt32LE(), 4321);
  assert.match(calls.setOption(descriptorOf(probe), { ...option, name: 9999 }) ?? "", /./);
  probe.close();
  server.stop();
});

test("connections to endpoints have keepalive probes and options as the cluster says", async () => {
  const calls = new SocketCalls(assert.fail);
  const server = await rawServer((socket) => socket.write("hi"));
  const address = `{ socket_address: { address: 127.0.0.1, port_value: ${server.port} } }`;
  const options =
    "upstream_connection_options: { tcp_keepalive: { keepalive_time: 33, keepalive_interval: 7, keepalive_probes: 4 } }, " +
    "upstream_bind_config: { source_address: { address: 127.0.0.1, port_value: 0 }, socket_options: [{ level: 6, name: 18, int_value: 9000 }] }";
  const path = await serve(yaml(loopback, tcp), clusterOf(address, options));
  const cluster = path.clusters.get("app");
  const endpoint = cluster?.endpoints[0];
  assert.ok(cluster !== undefined && endpoint !== undefined);
  const target = cluster.connectTarget(endpoint, { protocol: "http1", alpn: [], key: "" } as never, null);
  const socket = connect(server.port, "127.0.0.1");
  await once(socket, "connect");
  target.prepare?.(socket);
  const read = (level: number, name: number): number => {
    const value = Buffer.alloc(4);
    assert.equal(calls.getOption(descriptorOf(socket), level, name, value, Buffer.from([4, 0, 0, 0])), true);
    return value.readInt32LE();
  };
  assert.deepEqual([read(1, 9), read(6, 4), read(6, 5), read(6, 6), read(6, 18)], [1, 33, 7, 4, 9000]);
  const client = new RawClient(path.port());
  await client.sees("hi");
  client.socket.destroy();
  socket.destroy();
  path.stop();
  server.stop();
});

test("limits of a listener and of the proxy close one connection too many, and count it", async () => {
  const server = await rawServer((socket) => socket.write("hi"));
  const path = await serve(
    yaml(loopback, tcp),
    clusterOf(`{ socket_address: { address: 127.0.0.1, port_value: ${server.port} } }`),
  );
  path.listeners.limits.set(Number.POSITIVE_INFINITY, new Map([["test", 2]]));
  const clients = [new RawClient(path.port()), new RawClient(path.port())];
  for (const client of clients) await client.sees("hi");
  const refused = async (): Promise<void> => {
    const client = new RawClient(path.port());
    await client.isEnded();
    assert.equal(client.text, "");
  };
  await refused();
  assert.equal(path.listeners.describe()[0]?.counters.overflows, 1);
  path.listeners.limits.set(2, new Map());
  await refused();
  assert.equal(path.listeners.describe()[0]?.counters.globalOverflows, 1);
  clients[0]?.socket.resetAndDestroy();
  await until(() => path.listeners.limits.open === 1);
  const next = new RawClient(path.port());
  await next.sees("hi");
  await path.listeners.update(resources.listenerConfig(yaml(loopback, tcp, "ignore_global_conn_limit: true")));
  const beyond = new RawClient(path.port());
  await beyond.sees("hi");
  for (const client of [...clients, next, beyond]) client.socket.resetAndDestroy();
  await until(() => path.listeners.limits.open === 0);
  path.stop();
  server.stop();
});

test("an endpoint that wants a PROXY header is told the client before TLS or bytes, in both versions", async () => {
  for (const version of ["V1", "V2"]) {
    let received = Buffer.alloc(0);
    const server = await rawServer((socket) =>
      socket.on("data", (data: Buffer) => {
        received = Buffer.concat([received, data]);
        if (received.includes("hello")) socket.end("bye");
      }),
    );
    const socket = `transport_socket: { name: p, typed_config: { "@type": type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport,
      config: { version: ${version} }, transport_socket: { name: raw, typed_config: { "@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer } } } }`;
    const path = await serve(
      yaml(loopback, tcp),
      clusterOf(`{ socket_address: { address: 127.0.0.1, port_value: ${server.port} } }`, socket.replaceAll("\n", " ")),
    );
    const client = new RawClient(path.port());
    client.send("hello");
    await client.isEnded();
    const parsed = parseProxyHeader(received);
    assert.equal(parsed.status, PROXY_DONE);
    assert.equal(parsed.header?.version, version === "V1" ? 1 : 2);
    assert.equal(parsed.header?.addresses?.sourcePort, client.socket.localPort);
    assert.equal(parsed.header?.addresses?.destinationPort, path.port());
    assert.equal(received.subarray(parsed.length).toString(), "hello");
    client.socket.destroy();
    path.stop();
    server.stop();
  }
});

test("HTTP clients have connections of their own to an endpoint that is told them", async () => {
  const heads: string[] = [];
  const server = await rawServer((socket) => {
    let text = "";
    socket.on("data", (data) => {
      text += data.toString("latin1");
      if (!text.includes("\r\n\r\n", text.indexOf("GET"))) return;
      heads.push(text.slice(0, text.indexOf("\r\n")));
      text = "";
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    });
  });
  const socket = `transport_socket: { name: p, typed_config: { "@type": type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport, transport_socket: { name: raw, typed_config: { "@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer } } } }`;
  const path = await serve(
    yaml(loopback, http),
    clusterOf(`{ socket_address: { address: 127.0.0.1, port_value: ${server.port} } }`, socket),
  );
  const clients = [new RawClient(path.port()), new RawClient(path.port())];
  const request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  for (const client of clients) {
    client.send(request);
    await client.sees("ok");
    client.send(request);
    await client.sees(/ok[\s\S]*ok/);
  }
  const headers = heads.filter((head) => head.startsWith("PROXY TCP4"));
  assert.equal(headers.length, 2, "each client's connection began with a header, and was used again");
  assert.deepEqual(
    headers.map((head) => Number(head.split(" ")[4])),
    clients.map((client) => client.socket.localPort),
  );
  for (const client of clients) client.socket.destroy();
  path.stop();
  server.stop();
});

const refusals: readonly [string, () => string, RegExp][] = [
  [
    "a relative path",
    () => resources.refusalOf(decodeListener(resources.listenerOf(yaml(pipe("x.sock"), tcp)))),
    /not an absolute path/,
  ],
  [
    "a path that is too long",
    () => resources.refusalOf(decodeListener(resources.listenerOf(yaml(pipe(`/${"x".repeat(108)}`), tcp)))),
    /longer than 107 bytes/,
  ],
  [
    "a mode on an abstract name",
    () => resources.refusalOf(decodeListener(resources.listenerOf(yaml(pipe("@x", ", mode: 384"), tcp)))),
    /file system/,
  ],
  [
    "an internal address",
    () =>
      resources.refusalOf(
        decodeListener(resources.listenerOf(yaml("{ envoy_internal_address: { server_listener_name: x } }", tcp))),
      ),
    /an internal address/,
  ],
  [
    "an endpoint behind an internal listener",
    () =>
      resources.refusalOf(
        decodeCluster(resources.clusterOf(clusterOf("{ envoy_internal_address: { server_listener_name: x } }"))),
      ),
    /an internal address/,
  ],
  [
    "a foreign source address",
    () =>
      resources.refusalOf(
        decodeCluster(resources.clusterOf(clusterOf(loopback, "upstream_bind_config: { freebind: true }"))),
      ),
    /not of this machine/,
  ],
];
for (const [name, refusal, reason] of refusals) test(`${name} is refused`, () => assert.match(refusal(), reason));

test("socket options that are not known are left out and told", () => {
  const decoded = decodeListener(
    resources.listenerOf(
      yaml(loopback, tcp, "socket_options: [{ level: 1, name: 999, int_value: 1, description: magic }]"),
    ),
  );
  assert.deepEqual(decoded.value?.socketOptions, []);
  assert.match(
    decoded.issues[0]?.message ?? "",
    /the socket option 1\/999 \(magic\) is not supported by this proxy and left out/,
  );
});
