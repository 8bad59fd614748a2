import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, describe, it } from "node:test";
import { silentLogger } from "#base/log/log.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { openForwarder } from "#wire/dns/forwarder.ts";
import type { RunningNameServer } from "#wire/dns/name-server.ts";
import { ServiceDirectory } from "../network/service-directory.ts";
import { MemoryStore } from "../store/memory-store.ts";
import { endpointSlices, services } from "../store/resources.ts";
import { startDnsServer } from "./dns-server.ts";

function service(name: string, spec: object): KubernetesObject {
  return { apiVersion: "v1", kind: "Service", metadata: { name, namespace: "shop" }, spec };
}

function slice(name: string, endpoints: readonly object[]): KubernetesObject {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: `${name}-1`, namespace: "shop", labels: { "kubernetes.io/service-name": name } },
    addressType: "IPv4",
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
    endpoints,
  };
}

describe("the cluster's DNS server", () => {
  let server: RunningNameServer;
  let store: MemoryStore;
  const resolver = new Resolver({ timeout: 1_000, tries: 1 });

  before(async () => {
    store = new MemoryStore();
    const ports = [{ name: "http", port: 80, protocol: "TCP" }];
    store.create(services, service("web", { clusterIP: "10.96.1.1", ports }));
    store.create(services, service("peers", { clusterIP: "None", ports }));
    store.create(services, service("idle", { clusterIP: "None", ports }));
    store.create(services, service("alias", { type: "ExternalName", externalName: "web.shop.svc.cluster.local" }));
    store.create(services, service("loop", { type: "ExternalName", externalName: "loop.shop.svc.cluster.local" }));
    store.create(
      endpointSlices,
      slice("peers", [
        { addresses: ["10.244.0.5"], hostname: "peer-0", conditions: { ready: true } },
        { addresses: ["10.244.0.6"], conditions: { ready: true } },
        { addresses: ["10.244.0.7"], conditions: { ready: false } },
      ]),
    );
    const directory = new ServiceDirectory(store);
    server = await startDnsServer({
      host: "127.0.0.1",
      port: 0,
      zone: { directory, domain: "cluster.local" },
      log: silentLogger,
    });
    resolver.setServers([`127.0.0.1:${server.port}`]);
  });

  after(() => server.stop());

  it("answers a service's name with its cluster address", async () => {
    assert.deepEqual(await resolver.resolve4("web.shop.svc.cluster.local", { ttl: true }), [
      { address: "10.96.1.1", ttl: 5 },
    ]);
  });

  it("says that there is no IPv6 address, not that there is no such name", async () => {
    await assert.rejects(resolver.resolve6("web.shop.svc.cluster.local"), { code: "ENODATA" });
  });

  it("says that a name does not exist", async () => {
    for (const name of [
      "nothing.shop.svc.cluster.local",
      "web.elsewhere.svc.cluster.local",
      "a.web.shop.svc.cluster.local",
    ]) {
      await assert.rejects(resolver.resolve4(name), { code: "ENOTFOUND" }, name);
    }
  });

  it("answers a headless service with its ready endpoints, and each by its host name", async () => {
    assert.deepEqual((await resolver.resolve4("peers.shop.svc.cluster.local")).sort(), ["10.244.0.5", "10.244.0.6"]);
    assert.deepEqual(await resolver.resolve4("peer-0.peers.shop.svc.cluster.local"), ["10.244.0.5"]);
    assert.deepEqual(await resolver.resolve4("10-244-0-6.peers.shop.svc.cluster.local"), ["10.244.0.6"]);
    await assert.rejects(resolver.resolve4("idle.shop.svc.cluster.local"), { code: "ENOTFOUND" });
  });

  it("names the ports of services", async () => {
    const virtual = await resolver.resolveSrv("_http._tcp.web.shop.svc.cluster.local");
    assert.deepEqual(
      virtual.map(({ name, port }) => [name, port]),
      [["web.shop.svc.cluster.local", 80]],
    );
    const headless = await resolver.resolveSrv("_http._tcp.peers.shop.svc.cluster.local");
    assert.deepEqual(headless.map(({ name, port }) => `${name}:${port}`).sort(), [
      "10-244-0-6.peers.shop.svc.cluster.local:8080",
      "peer-0.peers.shop.svc.cluster.local:8080",
    ]);
  });

  it("follows an alias to another service, but not in circles", async () => {
    assert.deepEqual(await resolver.resolve4("alias.shop.svc.cluster.local"), ["10.96.1.1"]);
    assert.deepEqual(await resolver.resolveCname("alias.shop.svc.cluster.local"), ["web.shop.svc.cluster.local"]);
    assert.deepEqual(await resolver.resolve4("loop.shop.svc.cluster.local").catch(() => []), []);
  });

  it("leads from an address back to a name", async () => {
    assert.deepEqual(await resolver.reverse("10.96.1.1"), ["web.shop.svc.cluster.local"]);
    assert.deepEqual(await resolver.reverse("10.244.0.5"), ["peer-0.peers.shop.svc.cluster.local"]);
    await assert.rejects(resolver.reverse("10.96.9.9"), { code: "ENOTFOUND" });
  });

  it("knows at once of a service that was just made", async () => {
    store.create(services, service("fresh", { clusterIP: "10.96.1.2", ports: [] }));
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(await resolver.resolve4("fresh.shop.svc.cluster.local"), ["10.96.1.2"]);
  });

  it("answers names of the world with no such name when there is nobody to ask", async () => {
    await assert.rejects(resolver.resolve4("example.com"), { code: "ENOTFOUND" });
  });

  it("serves several questions over one TCP connection, also in pieces", async () => {
    const question = Buffer.concat([
      Buffer.from([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
      ...["web", "shop", "svc", "cluster", "local"].flatMap((label) => [
        Buffer.from([label.length]),
        Buffer.from(label),
      ]),
      Buffer.from([0, 0, 1, 0, 1]),
    ]);
    const framed = Buffer.concat([Buffer.from([0, question.length]), question]);
    const socket = connect(server.port, "127.0.0.1");
    socket.write(Buffer.concat([framed, framed.subarray(0, 7)]));
    const answers: Buffer[] = [];
    let length = 0;
    socket.on("data", (chunk: Buffer) => {
      answers.push(chunk);
      length += chunk.length;
    });
    await once(socket, "data");
    socket.write(framed.subarray(7));
    while (length < 2 * (2 + question.length + 16)) await once(socket, "data");
    assert.equal(Buffer.concat(answers).readUInt16BE(0), question.length + 16);
    socket.destroy();
  });

  it("goes on after garbage", async () => {
    const socket = createSocket("udp4");
    for (let round = 0; round < 50; round++)
      socket.send(
        Buffer.from(Array.from({ length: round }, () => Math.floor(Math.random() * 256))),
        server.port,
        "127.0.0.1",
      );
    assert.deepEqual(await resolver.resolve4("web.shop.svc.cluster.local"), ["10.96.1.1"]);
    socket.close();
  });
});

describe("a DNS server with resolvers behind it", () => {
  it("passes on their answers, and says when none of them answers", async () => {
    const upstreamStore = new MemoryStore();
    upstreamStore.create(services, {
      ...service("www", { clusterIP: "10.96.7.7", ports: [] }),
      metadata: { name: "www", namespace: "x" },
    });
    const zone = { directory: new ServiceDirectory(upstreamStore), domain: "world.test" };
    const upstream = await startDnsServer({ host: "127.0.0.1", port: 0, zone, log: silentLogger });
    const silent = createSocket("udp4");
    silent.bind(0, "127.0.0.1");
    await once(silent, "listening");
    const socket = createSocket("udp4");
    socket.bind(0);
    await once(socket, "listening");
    const resolvers = [
      { address: "127.0.0.1", port: silent.address().port },
      { address: "127.0.0.1", port: upstream.port },
    ];
    const server = await startDnsServer({
      host: "127.0.0.1",
      port: 0,
      zone: { directory: new ServiceDirectory(new MemoryStore()), domain: "cluster.local" },
      forwarder: openForwarder({ socket, resolvers, timeoutMs: 50 }),
      log: silentLogger,
    });
    const resolver = new Resolver({ timeout: 1_000, tries: 1 });
    resolver.setServers([`127.0.0.1:${server.port}`]);
    assert.deepEqual(await resolver.resolve4("www.x.svc.world.test"), ["10.96.7.7"]);
    await upstream.stop();
    await assert.rejects(resolver.resolve4("www.x.svc.world.test"), { code: "ESERVFAIL" });
    await server.stop();
    silent.close();
  });
});
