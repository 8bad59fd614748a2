// TLS that passes through, told apart by its server name: real clients and servers of TLS on both sides, the proxy reads
// the hello only.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { type ConnectionOptions, connect, createServer, type TLSSocket } from "node:tls";
import { hello, serverName } from "#wire/tls/testing/hellos.ts";
import * as resources from "../config/testing/resources.ts";
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
const inspector = `{ name: tls, typed_config: { "@type": ${filters}.listener.tls_inspector.v3.TlsInspector } }`;
const tcp = (cluster: string): string =>
  `{ name: tcp, typed_config: { "@type": ${filters}.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: "${cluster}" } }`;
const sniCluster = `{ name: sni, typed_config: { "@type": ${filters}.network.sni_cluster.v3.SniCluster } }`;
const yaml = (chains: readonly string[], more = ""): string => `
name: test
address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
listener_filters: [${inspector}]
filter_chains: [${chains.join(", ")}]
${more}`;
const named = (names: string, cluster: string): string =>
  `{ name: "${cluster}", filter_chain_match: { server_names: [${names}] }, filters: [${tcp(cluster)}] }`;

/** A TLS server that says which one it is and what name it was asked for. */
async function tlsServer(name: string): Promise<{ readonly port: number; stop(): void }> {
  const { certificateChain: cert, privateKey: key } = authority.issueFor("DNS:any.example");
  const sockets = new Set<TLSSocket>();
  const server = createServer({ cert, key }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    const { servername } = socket as unknown as { servername: string | false };
    socket.end(`${name} for ${String(servername)}`);
  });
  server.on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const stop = (): void => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { port: (server.address() as AddressInfo).port, stop };
}

/** What a TLS client hears through the proxy; empty when it was refused. */
function hear(path: TestDataPath, options: ConnectionOptions): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port: path.port(), rejectUnauthorized: false, ...options });
    let text = "";
    socket.on("data", (data) => (text += data.toString()));
    socket.on("error", () => {});
    socket.on("close", () => resolve(text));
  });
}

interface Passing {
  readonly path: TestDataPath;
  stop(): void;
}

/** One TLS server per cluster. */
async function pass(clusters: readonly string[], listener: string): Promise<Passing> {
  const path = dataPath();
  const servers = await Promise.all(clusters.map((name) => tlsServer(name)));
  for (const [i, name] of clusters.entries()) path.clusters.update(clusterOn(name, [servers[i]!.port]));
  await path.listeners.update(resources.listenerConfig(listener));
  const stop = (): void => {
    path.stop();
    for (const server of servers) server.stop();
  };
  return { path, stop };
}

test("the longest name wins: exact, then the nearest wildcard, then the chain for any name", async () => {
  const chains = [
    named('"*.example"', "any"),
    named('"*.b.example"', "near"),
    named("a.b.example", "exact"),
    `{ name: rest, filters: [${tcp("rest")}] }`,
  ];
  const { path, stop } = await pass(["any", "near", "exact", "rest"], yaml(chains));
  const heard = async (servername: string): Promise<string> => (await hear(path, { servername })).split(" ")[0]!;
  assert.equal(await heard("a.b.example"), "exact");
  assert.equal(await heard("A.B.Example"), "exact");
  assert.equal(await heard("c.b.example"), "near");
  assert.equal(await heard("x.c.b.example"), "near");
  assert.equal(await heard("b.example"), "any");
  assert.equal(await heard("example"), "rest");
  assert.equal(await heard("example.evil"), "rest");
  assert.equal(await heard("notb.example"), "any");
  assert.equal(await hear(path, {}), "rest for false", "without a name");
  stop();
});

test("without a chain for its name, or without a name, a client of TLS is refused", async () => {
  const { path, stop } = await pass(["a"], yaml([named("a.example", "a")]));
  assert.equal(await hear(path, { servername: "a.example" }), "a for a.example");
  assert.equal(await hear(path, { servername: "b.example" }), "");
  assert.equal(await hear(path, {}), "");
  const plain = new RawClient(path.port());
  plain.send("GET / HTTP/1.1\r\n\r\n");
  await plain.isEnded();
  assert.equal(plain.text, "");
  assert.equal(path.listeners.describe()[0]?.counters.noFilterChainMatches, 3);
  stop();
});

test("sni_cluster goes to the cluster that is named like the server, as east-west gateways do", async () => {
  const clusters = ["outbound_.443_._.a.ns.svc.cluster.local", "outbound_.443_.v2_.b.ns.svc.cluster.local"];
  const chain = `{ filter_chain_match: { server_names: ["*.local"] }, filters: [${sniCluster}, ${tcp("BlackHoleCluster")}] }`;
  const { path, stop } = await pass(clusters, yaml([chain]));
  for (const name of clusters) {
    assert.equal(await hear(path, { servername: name }), `${name} for ${name}`);
  }
  assert.equal(await hear(path, { servername: "outbound_.443_._.c.ns.svc.cluster.local" }), "");
  stop();
});

test("protocols choose among chains of one name", async () => {
  const chains = [
    `{ filter_chain_match: { server_names: [a.example], application_protocols: [istio, istio-h2] }, filters: [${tcp("mesh")}] }`,
    `{ filter_chain_match: { server_names: [a.example] }, filters: [${tcp("outside")}] }`,
  ];
  const { path, stop } = await pass(["mesh", "outside"], yaml(chains));
  const heard = async (ALPNProtocols: string[]): Promise<string> =>
    (await hear(path, { servername: "a.example", ALPNProtocols })).split(" ")[0]!;
  assert.equal(await heard(["h2", "istio"]), "mesh");
  assert.equal(await heard(["h2"]), "outside");
  assert.equal(await heard([]), "outside");
  stop();
});

test("a hello that comes byte by byte reaches the server whole, and only when it is complete", async () => {
  const received: Buffer[] = [];
  const server = await rawServer((socket) => {
    socket.on("data", (data: Buffer) => received.push(data));
    socket.write("server first");
  });
  const path = dataPath();
  path.clusters.update(clusterOn("a", [server.port]));
  await path.listeners.update(resources.listenerConfig(yaml([named("a.example", "a")])));
  const bytes = Buffer.concat([hello([serverName("a.example"), [21, Buffer.alloc(900)]]), Buffer.from("early")]);
  const client = new RawClient(path.port());
  client.socket.setNoDelay(true);
  for (let at = 0; at < bytes.length - 6; at++) {
    client.send(bytes.subarray(at, at + 1));
    if (at % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await until(() => path.listeners.describe()[0]?.openingConnections === 1);
  assert.equal(client.text, "");
  client.send(bytes.subarray(bytes.length - 6));
  await client.sees("server first");
  await until(() => Buffer.concat(received).length === bytes.length);
  assert.deepEqual(Buffer.concat(received), bytes);
  client.socket.resetAndDestroy();
  path.stop();
  server.stop();
});

test("a hello of 16 KiB passes, a larger one, or one with two names, is closed and counted", async () => {
  const server = await rawServer((socket) => socket.once("data", () => socket.end("served")));
  const path = dataPath();
  path.clusters.update(clusterOn("a", [server.port]));
  const rest = `{ name: rest, filters: [${tcp("a")}] }`;
  await path.listeners.update(resources.listenerConfig(yaml([named("a.example", "a"), rest])));
  const heard = async (bytes: Buffer): Promise<string> => {
    const client = new RawClient(path.port());
    client.send(bytes);
    await client.isEnded();
    client.socket.resetAndDestroy();
    return client.text;
  };
  const most = 16 * 1024 - hello([serverName("a.example"), [21, Buffer.alloc(0)]]).length;
  assert.equal(await heard(hello([serverName("a.example"), [21, Buffer.alloc(most)]])), "served");
  assert.equal(await heard(hello([serverName("a.example"), [21, Buffer.alloc(most + 100)]])), "");
  // What is no valid hello is no TLS: the chain for anything may have it, the chain of a name never.
  await path.listeners.update(resources.listenerConfig(yaml([named("a.example", "a"), named("b.example", "a")])));
  assert.equal(await heard(hello([serverName("a.example"), serverName("b.example")])), "");
  path.stop();
  server.stop();
});
