// Clients that are slow, silent, many or hostile before their filter chain is known: they are cut off in time, memory
// stays bounded, nobody is served under another security posture for waiting, and others see nothing of it.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { type Logger, silentLogger } from "#base/log/log.ts";
import { ManualClock } from "#base/time/clock.ts";
import { hello, serverName } from "#wire/tls/testing/hellos.ts";
import * as resources from "../config/testing/resources.ts";
import { HandshakeGate } from "./handshake-gate.ts";
import type { ListenerCounters } from "./listener-counters.ts";
import { type TestAuthority, testAuthority } from "./testing/certificates.ts";
import { clusterOn, dataPath, type TestDataPath } from "./testing/data-path.ts";
import { RawClient, rawServer } from "./testing/raw-peers.ts";
import { until } from "./testing/requests.ts";

let authority: TestAuthority;
before(() => {
  authority = testAuthority();
});
after(() => authority.stop());

const filters = "type.googleapis.com/envoy.extensions.filters";
const listenerFilter = (name: string, type: string): string =>
  `{ name: ${name}, typed_config: { "@type": ${filters}.listener.${name}.v3.${type} } }`;
const inspectors = `${listenerFilter("tls_inspector", "TlsInspector")}, ${listenerFilter("http_inspector", "HttpInspector")}`;
const proxyHeader = listenerFilter("proxy_protocol", "ProxyProtocol");
const tcp = `{ name: tcp, typed_config: { "@type": ${filters}.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app } }`;
const tlsSocket = `transport_socket: { name: tls, typed_config: { "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: { tls_certificate_sds_secret_configs: [{ name: default, sds_config: { ads: {} } }] } } }`;
const secured = `{ name: secured, filter_chain_match: { transport_protocol: tls }, ${tlsSocket}, filters: [${tcp}] }`;
const plain = `{ name: plain, filter_chain_match: { transport_protocol: raw_buffer }, filters: [${tcp}] }`;
const http = `{ name: http, filter_chain_match: { transport_protocol: raw_buffer, application_protocols: [http/1.1, http/1.0, h2c] }, filters: [{ name: d, typed_config: { "@type": ${filters}.network.direct_response.v3.Config, response: { inline_string: "http" } } }] }`;
const yaml = (chains: readonly string[], more = "", first = inspectors): string => `
name: test
address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
listener_filters: [${first}]
filter_chains: [${chains.join(", ")}]
${more}`;
/** As Istio configures it: no timeout, or one that goes on. */
const patient = "listener_filters_timeout: 0s\ncontinue_on_listener_filters_timeout: true";
const after100ms = "listener_filters_timeout: 0.1s\ncontinue_on_listener_filters_timeout: true";

interface Running {
  readonly path: TestDataPath;
  readonly clock: ManualClock;
  readonly lines: string[];
  /** Connections that reached the application. */
  readonly served: () => number;
  counters(): Readonly<ListenerCounters>;
  opening(): number;
  stop(): void;
}

async function serve(listener: string, greeting = "hello"): Promise<Running> {
  let served = 0;
  const app = await rawServer((socket) => {
    served++;
    if (greeting !== "") socket.write(greeting);
    socket.on("data", (data) => socket.write(data));
  });
  const clock = new ManualClock(1_000_000);
  const lines: string[] = [];
  const log: Logger = { ...silentLogger, warn: (line) => void lines.push(line) };
  const path = dataPath({ clock, now: () => clock.now(), log });
  path.secrets.setCertificate("default", authority.issueFor("DNS:a.example"));
  path.clusters.update(clusterOn("app", [app.port]));
  await path.listeners.update(resources.listenerConfig(listener));
  const described = () => path.listeners.describe()[0]!;
  const stop = (): void => {
    path.stop();
    app.stop();
  };
  const counters = (): Readonly<ListenerCounters> => described().counters;
  const opening = (): number => described().openingConnections;
  return { path, clock, lines, served: () => served, counters, opening, stop };
}

async function refused(client: RawClient): Promise<void> {
  await client.isEnded();
  assert.equal(client.text, "");
}

function close(...clients: RawClient[]): void {
  for (const { socket } of clients) socket.resetAndDestroy();
}

test("a TLS hello that drips in is cut off after ten seconds, also where the listener waits without end", async () => {
  const running = await serve(yaml([secured, plain], patient));
  const { path, clock, opening } = running;
  const bytes = hello([serverName("a.example")]);
  const slow = new RawClient(path.port());
  const silent = new RawClient(path.port());
  await until(() => opening() === 2);
  slow.send(bytes.subarray(0, 1));
  for (let sent = 1; sent < 9; sent++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    clock.advance(1000);
    slow.send(bytes.subarray(sent, sent + 1));
  }
  assert.equal(slow.ended, false);
  clock.advance(10_000);
  await refused(slow);
  assert.equal(running.counters().filterTimeouts, 1);
  assert.match(running.lines.join("\n"), /the TLS hello was not complete in time/);
  // Who has said nothing may be waiting for a server that speaks first.
  assert.equal(silent.ended, false);
  assert.equal(running.served(), 0);
  close(slow, silent);
  running.stop();
});

test("a line that is typed slowly is waited for where the listener has no timeout", async () => {
  const running = await serve(yaml([http, secured, plain], patient), "");
  const typed = new RawClient(running.path.port());
  typed.send("GET / HT");
  await until(() => running.opening() === 1);
  running.clock.advance(60_000);
  typed.send("TP/1.1\r\n");
  await typed.sees("http");
  close(typed);
  running.stop();
});

test("bytes that may yet be HTTP when the timeout comes are refused, not served as TCP", async () => {
  const running = await serve(yaml([http, plain], after100ms));
  const client = new RawClient(running.path.port());
  client.send("GET / HTTP/1");
  await until(() => running.opening() === 1);
  await new Promise((resolve) => setTimeout(resolve, 20));
  running.clock.advance(100);
  await refused(client);
  assert.match(running.lines.join("\n"), /what protocol it is could not be told within 100 ms/);
  assert.equal(running.served(), 0);
  running.stop();
});

test("after the timeout a silent client is served as plain TCP, and TLS that comes then is not taken for TCP", async () => {
  const running = await serve(yaml([secured, plain], after100ms));
  const { path, clock } = running;
  const waiting = async (): Promise<RawClient> => {
    const client = new RawClient(path.port());
    await until(() => running.opening() === 1);
    clock.advance(100);
    await client.sees("hello");
    return client;
  };
  const honest = await waiting();
  honest.send("SELECT 1");
  await honest.sees("SELECT 1");
  const late = await waiting();
  const bytes = hello([serverName("a.example")]);
  late.send(bytes.subarray(0, 20));
  late.send(bytes.subarray(20));
  await late.isEnded();
  assert.equal(late.text, "hello");
  close(honest, late);
  running.stop();
});

test("without leave to go on, silence is refused after the timeout, which is 15 seconds by default", async () => {
  const running = await serve(yaml([secured, plain]));
  const silent = new RawClient(running.path.port());
  await until(() => running.opening() === 1);
  running.clock.advance(14_999);
  assert.equal(running.opening(), 1);
  running.clock.advance(1);
  await refused(silent);
  assert.equal(running.counters().filterTimeouts, 1);
  assert.equal(running.served(), 0);
  running.stop();
});

test("a client that ends its side before it has said enough is closed and counted", async () => {
  const running = await serve(yaml([secured, plain], patient));
  for (const bytes of ["", "\x16\x03"]) {
    const client = new RawClient(running.path.port());
    if (bytes !== "") client.send(bytes);
    client.socket.end();
    await refused(client);
  }
  assert.equal(running.counters().remoteCloses, 2);
  running.stop();
});

test("undecided bytes of all connections together are bounded; who would pass the bound is refused, others are served", async () => {
  const running = await serve(yaml([http, secured, plain], patient), "");
  const good = new RawClient(running.path.port());
  good.send("\x00binary");
  await good.sees("\x00binary");
  // As many bytes as are looked at for the end of a line, from as many clients as it takes to hold 64 MiB.
  const line = Buffer.alloc(64 * 1024 - 1, "a");
  line.write("GET /");
  const hostile: RawClient[] = [];
  for (let i = 0; i < 1100 && running.counters().overloadRejects === 0; i++) {
    const client = new RawClient(running.path.port());
    hostile.push(client);
    client.send(line);
    if (i % 20 === 0) await once(client.socket, "connect");
  }
  await until(() => running.counters().overloadRejects > 0);
  good.send("still here");
  await good.sees("still here");
  close(...hostile);
  await until(() => running.opening() === 0);
  // What they held is given back.
  const next = new RawClient(running.path.port());
  next.send(line);
  next.send("\r\n");
  await next.sees("\r\n");
  const before = running.counters().overloadRejects;
  const http1 = new RawClient(running.path.port());
  http1.send("GET / HTTP/1.1\r\n");
  await http1.sees("http");
  assert.equal(running.counters().overloadRejects, before);
  close(good, next, http1);
  running.stop();
});

test("handshakes that never end are cut off after ten seconds, and a client behind them is served", async () => {
  const running = await serve(yaml([secured], patient));
  const { path, clock } = running;
  const half: RawClient[] = [];
  for (let i = 0; i < 200; i++) {
    const client = new RawClient(path.port());
    client.send(hello([serverName("a.example")]));
    half.push(client);
  }
  const stuck: RawClient[] = [];
  // A hello that openssl answers and waits behind.
  const recorded = await realHello();
  for (let i = 0; i < 200; i++) {
    const client = new RawClient(path.port());
    client.send(recorded);
    stuck.push(client);
  }
  await until(() => stuck.every((client) => client.text.length > 0));
  const good = connectTls({ host: "127.0.0.1", port: path.port(), rejectUnauthorized: false });
  const [data] = (await once(good, "data")) as [Buffer];
  assert.equal(data.toString(), "hello");
  good.destroy();
  assert.equal(running.served(), 1);
  clock.advance(10_000);
  await Promise.all(stuck.map((client) => client.isEnded()));
  await until(() => running.opening() === 0);
  assert.equal(running.counters().tlsErrors, 400);
  close(...half, ...stuck);
  running.stop();
});

/** The first bytes of a client of node:tls. */
async function realHello(): Promise<Buffer> {
  const server = await rawServer(() => {});
  const client = connectTls({ host: "127.0.0.1", port: server.port, rejectUnauthorized: false });
  client.on("error", () => {});
  await until(() => server.sockets.size === 1);
  const [socket] = [...server.sockets];
  assert.ok(socket !== undefined);
  const [data] = (await once(socket, "data")) as [Buffer];
  client.destroy();
  server.stop();
  return data;
}

test("a turn of the event loop begins ten handshakes; more wait, and more than the greatest number are turned away", async () => {
  const gate = new HandshakeGate(25);
  const begun: number[] = [];
  const isIn = Array.from({ length: 30 }, (_, i) => gate.enter(() => void begun.push(i)));
  assert.equal(isIn.filter(Boolean).length, 25);
  assert.equal(begun.length, 10);
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  await turn();
  assert.equal(begun.length, 20);
  await turn();
  assert.deepEqual(
    begun,
    Array.from({ length: 25 }, (_, i) => i),
    "in their order",
  );
  gate.leave();
  assert.equal(gate.count, 24);
  assert.equal(
    gate.enter(() => {}),
    true,
  );
});

for (const [kind, listener] of [
  ["plain TCP", yaml([`{ filters: [${tcp}] }`])],
  ["inspected", yaml([http, secured, plain], patient)],
  ["TLS", yaml([secured], patient)],
  ["behind a PROXY header", yaml([`{ filters: [${tcp}] }`], patient, proxyHeader)],
] as const) {
  test(`a storm of resets at once, with and without bytes, leaves nothing behind (${kind})`, async () => {
    const running = await serve(listener);
    const { path } = running;
    const starts = ["", "\x16", "\x16\x03\x01\x02\x00", "GET /", "PROXY TCP4 ", "\x00\x00"];
    const recorded = await realHello();
    for (let round = 0; round < 20; round++) {
      const gone: Promise<unknown>[] = [];
      for (let i = 0; i < 25; i++) {
        const socket = connect(path.port(), "127.0.0.1");
        socket.on("error", () => {});
        const bytes = starts[i % (starts.length + 1)] ?? recorded;
        gone.push(once(socket, "close"));
        socket.on("connect", () => {
          if (bytes.length > 0) socket.write(bytes);
          if (i % 2 === 0) socket.resetAndDestroy();
          else setImmediate(() => socket.resetAndDestroy());
        });
      }
      await Promise.all(gone);
    }
    await until(() => path.listeners.connectionCount === 0 && running.opening() === 0);
    assert.equal(path.clusters.describe()[0]?.counters.connections, 0);
    if (kind === "plain TCP") {
      const good = new RawClient(path.port());
      await good.sees("hello");
      close(good);
    }
    running.stop();
  });
}
