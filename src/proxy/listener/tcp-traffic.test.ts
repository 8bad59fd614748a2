// TCP through tcp_proxy, the inspectors, and the hand-over by original destination.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { noProvenance } from "#wire/xds/provenance.ts";
import {
  chain,
  clusterConfig,
  clusterOn,
  dataPath,
  forward,
  httpFilter,
  httpServer,
  listenerConfig,
  managerConfig,
  networkFilter,
  originalDestination,
  routeEntry,
  tcpFilter,
} from "./testing/data-path.ts";
import { ask, sendRaw, until } from "./testing/requests.ts";

async function tcpServer(
  onConnection: (socket: Socket) => void,
): Promise<{ port: number; sockets: Socket[]; stop: () => void }> {
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    onConnection(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const stop = (): void => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { port: (server.address() as AddressInfo).port, sockets, stop };
}

const everyPort = { disabledForPort: (): boolean => false };
const anything = chain([]).match;
const stats = networkFilter("istio_stats", {});

test("each direction of a TCP connection ends by itself", async () => {
  const server = await tcpServer((socket) => {
    let text = "";
    socket.on("data", (data) => (text += data.toString()));
    // It answers only after the client has ended its half.
    socket.on("end", () => socket.end(`got ${text}`));
  });
  const path = dataPath();
  path.clusters.update(clusterOn("app", [server.port]));
  await path.listeners.update(listenerConfig([chain([stats, tcpFilter("app")])]));
  assert.equal(await sendRaw(path.port(), "hello", { end: true }), "got hello");
  await until(() => path.tcp.closed === 1);
  assert.equal(path.tcp.opened, 1);
  assert.equal(path.logs[0]?.["bytesReceived"], 5);
  assert.equal(path.logs[0]?.["bytesSent"], 9);
  assert.equal(path.logs[0]?.["responseFlags"], "-");
  assert.equal(path.clusters.describe()[0]?.counters.connections, 0);
  path.stop();
  server.stop();
});

test("a server that speaks first is heard at once where chains do not differ", async () => {
  const server = await tcpServer((socket) => socket.write("220 ready\r\n"));
  const path = dataPath();
  path.clusters.update(clusterOn("app", [server.port]));
  const listener = listenerConfig([chain([tcpFilter("app")])], { tlsInspector: everyPort, httpInspector: everyPort });
  await path.listeners.update(listener);
  const socket = connect(path.port(), "127.0.0.1");
  const [data] = (await once(socket, "data")) as [Buffer];
  assert.equal(data.toString(), "220 ready\r\n");
  socket.destroy();
  path.stop();
  server.stop();
});

test("a server that speaks first is heard after the inspectors' timeout where chains differ", async () => {
  const server = await tcpServer((socket) => socket.write("220 ready\r\n"));
  const path = dataPath();
  path.clusters.update(clusterOn("app", [server.port]));
  const http = httpFilter(managerConfig([routeEntry("/", forward("app"))]));
  const chains = [
    chain([http], {
      name: "http",
      match: { ...anything, transportProtocol: "raw_buffer", applicationProtocols: ["http/1.1"] },
    }),
    chain([tcpFilter("app")], { name: "tcp", match: { ...anything, transportProtocol: "raw_buffer" } }),
  ];
  const timeout = { listenerFiltersTimeoutMs: 30, tlsInspector: everyPort, httpInspector: everyPort };
  await path.listeners.update(listenerConfig(chains, timeout));
  const socket = connect(path.port(), "127.0.0.1");
  const [data] = (await once(socket, "data")) as [Buffer];
  assert.equal(data.toString(), "220 ready\r\n");
  socket.destroy();
  path.stop();
  server.stop();
});

test("the HTTP inspector tells HTTP from other protocols by the first bytes", async () => {
  const echo = await tcpServer((socket) => socket.on("data", (data) => socket.end(`tcp ${data.toString()}`)));
  const web = await httpServer((_req, res) => res.end("http"));
  const path = dataPath();
  path.clusters.update(clusterOn("echo", [echo.port]));
  path.clusters.update(clusterOn("web", [web.port]));
  const http = httpFilter(managerConfig([routeEntry("/", forward("web"))]));
  const match = { ...anything, transportProtocol: "raw_buffer" as const, applicationProtocols: ["http/1.1", "h2c"] };
  const chains = [chain([http], { name: "http", match })];
  const rest = { tlsInspector: everyPort, httpInspector: everyPort, defaultFilterChain: chain([tcpFilter("echo")]) };
  await path.listeners.update(listenerConfig(chains, rest));
  assert.equal((await ask(path, "/")).body, "http");
  assert.equal(await sendRaw(path.port(), "\x00\x01binary"), "tcp \x00\x01binary");
  assert.equal(await sendRaw(path.port(), "EHLO there\r\n"), "tcp EHLO there\r\n");
  // HTTP/2 without TLS: the same chain serves it.
  const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00";
  const goaway = "\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
  const answer = await sendRaw(path.port(), `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${settings}${goaway}`, { end: true });
  assert.equal(answer.charCodeAt(3), 4, "a SETTINGS frame");
  path.stop();
  echo.stop();
  web.stop();
});

test("a refused, missing or empty upstream closes the client with its flag", async () => {
  const path = dataPath();
  path.clusters.update(clusterOn("refused", [1]));
  path.clusters.update(clusterOn("empty", []));
  for (const [cluster, flag] of [
    ["refused", "UF,URX"],
    ["empty", "UH"],
    ["missing", "NC"],
  ] as const) {
    await path.listeners.update(listenerConfig([chain([stats, tcpFilter(cluster)])]));
    assert.equal(await sendRaw(path.port(), "x"), "");
    assert.equal(path.logs.at(-1)?.["responseFlags"], flag);
  }
  // Without a cluster there is no service to count for.
  assert.deepEqual([path.tcp.opened, path.tcp.closed], [2, 2]);
  path.stop();
});

test("a reset on either side is passed on as a reset", async () => {
  const server = await tcpServer((socket) => socket.on("data", () => socket.resetAndDestroy()));
  const path = dataPath();
  path.clusters.update(clusterOn("app", [server.port]));
  await path.listeners.update(listenerConfig([chain([tcpFilter("app")])]));
  const socket = connect(path.port(), "127.0.0.1");
  socket.write("x");
  const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
  assert.equal(error.code, "ECONNRESET");
  await until(() => path.logs.length === 1);
  assert.equal(path.logs[0]?.["responseFlags"], "UC");
  path.stop();
  server.stop();
});

test("a slow TCP reader keeps memory bounded and loses nothing", async () => {
  const total = 48 * 1024 * 1024;
  let written = 0;
  const server = await tcpServer((socket) => {
    const block = Buffer.alloc(64 * 1024, 1);
    const more = (): void => {
      while (written < total) {
        written += block.length;
        if (!socket.write(block)) {
          socket.once("drain", more);
          return;
        }
      }
      socket.end();
    };
    more();
  });
  const path = dataPath();
  path.clusters.update(clusterOn("app", [server.port]));
  await path.listeners.update(listenerConfig([chain([tcpFilter("app")])]));
  const socket = connect(path.port(), "127.0.0.1");
  socket.pause();
  await new Promise((resolve) => setTimeout(resolve, 150));
  assert.ok(written < 32 * 1024 * 1024, `${written}`);
  let bytes = 0;
  socket.on("data", (data) => (bytes += data.length));
  socket.resume();
  await once(socket, "end");
  assert.equal(bytes, total);
  socket.destroy();
  path.stop();
  server.stop();
});

test("idle TCP connections end, and removed listeners let theirs go on", async () => {
  const server = await tcpServer((socket) => socket.on("data", (data) => socket.write(data)));
  const path = dataPath();
  path.clusters.update(clusterOn("app", [server.port]));
  await path.listeners.update(listenerConfig([chain([tcpFilter("app", { idleTimeoutMs: 100 })])]));
  const port = path.port();
  const socket = connect(port, "127.0.0.1");
  let text = "";
  socket.on("data", (data) => (text += data.toString()));
  socket.write("one");
  await until(() => text === "one");
  path.listeners.remove("test");
  socket.write("two");
  await until(() => text === "onetwo");
  const refused = connect(port, "127.0.0.1");
  const [error] = (await once(refused, "error")) as [NodeJS.ErrnoException];
  assert.equal(error.code, "ECONNREFUSED");
  await once(socket, "close");
  assert.equal(path.listeners.connectionCount, 0);
  path.stop();
  server.stop();
});

test("network RBAC refuses a connection before its bytes reach the upstream", async () => {
  const server = await tcpServer(() => {});
  const path = dataPath();
  path.clusters.update(clusterOn("app", [server.port]));
  const rules = { action: "allow", policies: [] };
  const deny = networkFilter("rbac", {
    statPrefix: "tcp.",
    rules,
    shadowRules: null,
    shadowStatPrefix: "",
    readsServerName: false,
  });
  await path.listeners.update(listenerConfig([chain([deny, tcpFilter("app")])]));
  assert.equal(await sendRaw(path.port(), "x"), "");
  assert.equal(server.sockets.length, 0);
  assert.equal(path.logs[0]?.["connectionTerminationDetails"], "rbac_access_denied_matched_policy[none]");
  path.stop();
  server.stop();
});

test("a redirected connection goes to the listener of its destination, else it stays; a loop is refused", async () => {
  const web = await httpServer((_req, res) => res.end("by port"));
  const echo = await tcpServer((socket) => socket.on("data", (data) => socket.end(`passed ${data.toString()}`)));
  let destination: { ip: string; port: number } | null = null;
  const path = dataPath({ originalDestination: () => destination });
  path.clusters.update(clusterOn("web", [web.port]));
  path.clusters.update(
    clusterConfig({ name: "PassthroughCluster", type: "original_dst", loadBalancing: originalDestination }),
  );
  await path.listeners.update(
    listenerConfig([chain([tcpFilter("PassthroughCluster")])], { useOriginalDst: true, originalDst: true }),
  );
  const http = httpFilter(managerConfig([routeEntry("/", forward("web"))]));
  const byPort = { name: "0.0.0.0_9080", host: "0.0.0.0", port: 9080, bindToPort: false, provenance: noProvenance };
  await path.listeners.update(listenerConfig([chain([http])], byPort));
  destination = { ip: "10.96.1.1", port: 9080 };
  assert.equal((await ask(path, "/")).body, "by port");
  assert.equal(path.logs.at(-1)?.["downstreamLocalAddress"], "10.96.1.1:9080");
  destination = { ip: "127.0.0.1", port: echo.port };
  assert.equal(await sendRaw(path.port(), "on"), "passed on");
  await until(() => path.logs.length === 2);
  assert.equal(path.logs.at(-1)?.["upstreamHost"], `127.0.0.1:${echo.port}`);
  destination = null;
  assert.equal(await sendRaw(path.port(), "loop"), "");
  await until(() => path.logs.length === 3);
  assert.match(String(path.logs.at(-1)?.["cause"]), /is this proxy itself/);
  path.stop();
  echo.stop();
  web.stop();
});

test("a listener that no traffic is redirected to is never gone through again by ORIGINAL_DST, over TCP and HTTP", async () => {
  const path = dataPath();
  path.clusters.update(
    clusterConfig({ name: "PassthroughCluster", type: "original_dst", loadBalancing: originalDestination }),
  );
  await path.listeners.update(listenerConfig([chain([tcpFilter("PassthroughCluster")])]));
  assert.equal(await sendRaw(path.port(), "loop"), "");
  await until(() => path.logs.length === 1);
  assert.match(String(path.logs.at(-1)?.["cause"]), /is this proxy itself/);
  const http = httpFilter(managerConfig([routeEntry("/", forward("PassthroughCluster"))]));
  await path.listeners.update(listenerConfig([chain([http])]));
  const answer = await ask(path, "/");
  assert.equal(answer.status, 503);
  assert.match(String(path.logs.at(-1)?.["cause"]), /is this proxy itself/);
  path.stop();
});

test("upstream connections come from the bind address", async () => {
  let source = "";
  const server = await tcpServer((socket) => {
    source = socket.remoteAddress ?? "";
    socket.end("bye");
  });
  const path = dataPath();
  path.clusters.update(clusterOn("app", [server.port], { bindAddress: "127.0.0.6" }));
  await path.listeners.update(listenerConfig([chain([tcpFilter("app")])]));
  assert.equal(await sendRaw(path.port(), "x"), "bye");
  assert.equal(source, "127.0.0.6");
  path.stop();
  server.stop();
});
