// SIGTERM at a proxy without an agent, as a process: who is served is served to the end, or to the deadline.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { type AddressInfo, connect, createServer as createTcpServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { freePort } from "#base/net/testing/free-port.ts";

async function listening<T extends Server>(server: T): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

const cluster = (name: string, port: number): string =>
  `  - name: ${name}
    load_assignment: { cluster_name: ${name}, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${port} } } } }] }] }`;

const bootstrap = (ports: Record<"admin" | "http" | "tcp" | "up" | "echo", number>): string => `
admin: { address: { socket_address: { address: 127.0.0.1, port_value: ${ports.admin} } } }
static_resources:
  listeners:
  - name: http
    address: { socket_address: { address: 127.0.0.1, port_value: ${ports.http} } }
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          upgrade_configs: [{ upgrade_type: websocket }]
          route_config:
            name: r
            virtual_hosts: [{ name: all, domains: ["*"], routes: [{ match: { prefix: / }, route: { cluster: up, timeout: 0s } }] }]
          http_filters:
          - { name: router, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router } }
  - name: tcp
    address: { socket_address: { address: 127.0.0.1, port_value: ${ports.tcp} } }
    filter_chains:
    - filters:
      - name: tcp
        typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: echo }
  clusters:
${cluster("up", ports.up)}
${cluster("echo", ports.echo)}
`;

test("on SIGTERM requests are finished, new ones on open connections answered, and the rest is cut at the deadline", async () => {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-drain-"));
  let slow: ServerResponse | undefined;
  const up = createServer((incoming, response) => {
    if (incoming.url === "/slow") slow = response;
    else response.end("ok");
  });
  up.on("upgrade", (_, socket) => {
    socket.write("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n");
    socket.pipe(socket);
  });
  const echo = createTcpServer((socket) => {
    socket.on("error", () => {});
    socket.pipe(socket);
  });
  const ports = {
    up: await listening(up),
    echo: await listening(echo),
    admin: await freePort(),
    http: await freePort(),
    tcp: await freePort(),
  };
  const path = join(folder, "bootstrap.yaml");
  writeFileSync(path, bootstrap(ports));
  const program = join(import.meta.dirname, "../../../bin/outrigger.ts");
  const child = spawn(process.execPath, [program, "proxy", "--config-path", path, "--drain-time-s", "1.5"]);
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data: Buffer) => (said += data.toString()));
  const until = async (words: string): Promise<void> => {
    while (!said.includes(words)) await Promise.race([once(child.stdout, "data"), once(child.stderr, "data")]);
  };
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ask = async (url: string, on: Agent | false): Promise<IncomingMessage> => {
    const sent = request({ host: "127.0.0.1", port: ports.http, path: url, agent: on });
    sent.end();
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    return response;
  };
  const body = async (response: IncomingMessage): Promise<string> => {
    let text = "";
    for await (const piece of response) text += String(piece);
    return text;
  };
  try {
    await until("proxy is serving");
    assert.equal(await body(await ask("/", agent)), "ok");
    const slowAnswer = ask("/slow", false);
    while (slow === undefined) await once(up, "request");
    const socket = connect(ports.tcp, "127.0.0.1");
    socket.write("a");
    assert.equal(String((await once(socket, "data"))[0]), "a");
    const webSocket = request({
      host: "127.0.0.1",
      port: ports.http,
      headers: { connection: "upgrade", upgrade: "websocket" },
    });
    webSocket.end();
    const [, tunnel] = await once(webSocket, "upgrade");
    tunnel.on("error", () => {});

    child.kill("SIGTERM");
    await until("draining: accepts no more; 4 connections are open and have 1500 ms");
    const last = await ask("/", agent);
    assert.equal(last.headers.connection, "close");
    assert.equal(await body(last), "ok");
    await assert.rejects(ask("/", false), /ECONNREFUSED/);
    slow?.end("at last");
    assert.equal(await body(await slowAnswer), "at last");
    tunnel.write("t");
    assert.equal(String((await once(tunnel, "data"))[0]), "t");
    socket.write("b");
    assert.equal(String((await once(socket, "data"))[0]), "b");
    const closed = [once(tunnel, "close"), new Promise((resolve) => socket.on("error", () => {}).on("close", resolve))];
    const [code] = await once(child, "exit");
    await Promise.all(closed);
    assert.equal(code, 0);
    assert.match(said, /drained after 1[4-9]\d\d ms: 2 connections ended, 2 were cut/);
  } finally {
    child.kill("SIGKILL");
    agent.destroy();
    up.closeAllConnections();
    up.close();
    echo.close();
    rmSync(folder, { recursive: true });
  }
});
