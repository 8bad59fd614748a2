import assert from "node:assert/strict";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Any, anyPack } from "@bufbuild/protobuf/wkt";
import { Metadata, Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import { LogRegistry, silentLogger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";
import { ClusterSchema } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { NodeSchema } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import { ClusterLoadAssignmentSchema } from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
} from "#wire/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { acceptEncodingKey, encodingKey, gzip, MessageFrame, writesFrames } from "#wire/grpc/message-frame.ts";
import { adsService } from "#wire/grpc/service-definition.ts";
import { SecretStore } from "#wire/tls/secrets.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import { clusterOf, endpointsOf, listenerOf, tcpTo } from "../config/testing/resources.ts";
import { AdsClient } from "./ads-client.ts";
import { Configuration } from "./configuration.ts";

type Stream = ServerDuplexStream<Buffer, Buffer | MessageFrame>;

/** A control plane that says what the test tells it to. */
class ScriptedServer {
  readonly server = new Server({ interceptors: [writesFrames] });
  readonly requests: DeltaDiscoveryRequest[] = [];
  readonly tokens: string[] = [];
  stream: Stream | null = null;
  #wakeUp: () => void = () => {};
  #nonce = 0;

  async start(): Promise<string> {
    this.server.addService(adsService, {
      StreamAggregatedResources: (stream: Stream) => stream.end(),
      DeltaAggregatedResources: (stream: Stream) => {
        this.stream = stream;
        this.tokens.push(String(stream.metadata.get("authorization")[0]));
        assert.deepEqual(stream.metadata.get(acceptEncodingKey), [gzip]);
        const metadata = new Metadata();
        metadata.set(encodingKey, gzip);
        stream.sendMetadata(metadata);
        stream.on("data", (bytes: Buffer) => {
          this.requests.push(fromBinary(DeltaDiscoveryRequestSchema, bytes));
          this.#wakeUp();
        });
        stream.on("error", () => {});
      },
    });
    const port = await new Promise<number>((resolve, reject) =>
      this.server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      ),
    );
    return `127.0.0.1:${port}`;
  }

  /** Waits for a request that passes the test, and takes it and those before it. */
  async take(accepts: (request: DeltaDiscoveryRequest) => boolean): Promise<DeltaDiscoveryRequest> {
    for (;;) {
      const at = this.requests.findIndex(accepts);
      if (at !== -1) return this.requests.splice(0, at + 1).at(-1) as DeltaDiscoveryRequest;
      await new Promise<void>((resolve) => {
        this.#wakeUp = resolve;
      });
    }
  }

  send(
    type: string,
    added: readonly (readonly [string, Any])[],
    {
      removed = [],
      isCompressed = false,
    }: { readonly removed?: readonly string[]; readonly isCompressed?: boolean } = {},
  ): string {
    const nonce = `nonce-${++this.#nonce}`;
    const message = create(DeltaDiscoveryResponseSchema, {
      typeUrl: type,
      nonce,
      systemVersionInfo: "1",
      resources: added.map(([name, resource]) => ({ name, version: `${name}@1`, resource })),
      removedResources: [...removed],
    });
    const bytes = Buffer.from(toBinary(DeltaDiscoveryResponseSchema, message));
    this.stream?.write(isCompressed ? new MessageFrame(gzipSync(bytes), true) : bytes);
    return nonce;
  }
}

/** Real time, but no wait is longer than a moment. */
const impatientClock: Clock = {
  now: () => Date.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, Math.min(delayMs, 2));
    return () => clearTimeout(timer);
  },
};

const cluster = anyPack(ClusterSchema, clusterOf("{ name: c, type: EDS }"));
const endpoints = anyPack(
  ClusterLoadAssignmentSchema,
  endpointsOf(`
cluster_name: c
endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 10.0.0.1, port_value: 80 } } } }] }]`),
);
const listener = anyPack(
  ListenerSchema,
  listenerOf(`
name: l
address: { socket_address: { address: 0.0.0.0, port_value: 81 } }
filter_chains:
- filters: ${tcpTo("c")}`),
);

const server = new ScriptedServer();
const address = await server.start();
const applied: string[] = [];
const configuration = new Configuration({
  targets: {
    clusters: {
      update: (config) => applied.push(`cluster ${config.name}`),
      setEndpoints: (set) => applied.push(`endpoints ${set.clusterName}`),
      remove: (name) => applied.push(`-cluster ${name}`),
    },
    routes: { set: () => {}, remove: () => {} },
    extensions: { set: () => {}, remove: () => {} },
    listeners: { update: (config) => void applied.push(`listener ${config.name}`), remove: () => {} },
    secrets: new SecretStore(),
  },
  log: silentLogger,
  clock: impatientClock,
  initialFetchTimeoutMs: 0,
  removalGraceMs: 5000,
});
let tokens = 0;
/** Lines that tell why a stream ended. */
const reasons: string[] = [];
const log = new LogRegistry({ level: "warn", write: (line) => reasons.push(line) });
const maxMessageBytes = 1024 * 1024;
const client = new AdsClient(configuration, {
  address,
  maxMessageBytes,
  tls: null,
  token: async () => `token-${++tokens}`,
  node: create(NodeSchema, { id: "sidecar~10.0.0.9~a.default~default.svc.cluster.local" }),
  log: log.scope("ads"),
  clock: impatientClock,
});

after(() => {
  client.stop();
  configuration.stop();
  server.server.forceShutdown();
});

const isAck = (type: string, nonce: string) => (request: DeltaDiscoveryRequest) =>
  request.typeUrl === type && request.responseNonce === nonce;

test("a stream asks for clusters and listeners, then for the endpoints that clusters name", {
  timeout: 10_000,
}, async () => {
  client.start();
  const first = await server.take((request) => request.typeUrl === typeUrl.cluster);
  assert.equal(first.node?.id, "sidecar~10.0.0.9~a.default~default.svc.cluster.local");
  await server.take((request) => request.typeUrl === typeUrl.listener);
  assert.deepEqual(server.tokens, ["Bearer token-1"]);

  const nonce = server.send(typeUrl.cluster, [["c", cluster]]);
  assert.equal((await server.take(isAck(typeUrl.cluster, nonce))).errorDetail, undefined);
  const wanted = await server.take((request) => request.typeUrl === typeUrl.endpoint);
  assert.deepEqual(wanted.resourceNamesSubscribe, ["c"]);
  assert.deepEqual(applied, []);

  server.send(typeUrl.listener, [["l", listener]]);
  server.send(typeUrl.endpoint, [["c", endpoints]]);
  await server.take((request) => request.typeUrl === typeUrl.endpoint && request.responseNonce !== "");
  assert.deepEqual(applied.splice(0), ["endpoints c", "cluster c", "listener l"]);
  assert.equal(configuration.isReady, true);
  assert.equal(client.status.connected, true);
});

test("a wrong resource is refused with its name, and what runs stays", { timeout: 10_000 }, async () => {
  const broken = anyPack(ClusterSchema, clusterOf("{ name: bad, type: ORIGINAL_DST }"));
  const nonce = server.send(typeUrl.cluster, [["bad", broken]]);
  const nack = await server.take(isAck(typeUrl.cluster, nonce));
  assert.match(
    nack.errorDetail?.message ?? "",
    /^cluster bad: lb_policy: an ORIGINAL_DST cluster needs CLUSTER_PROVIDED/,
  );
  assert.deepEqual(applied.splice(0), []);
  assert.equal(configuration.view().clusters.has("c"), true);
});

test("a lost stream is opened again with a fresh token and the versions in force; nothing is taken away", {
  timeout: 10_000,
}, async () => {
  server.stream?.emit("error", { code: 14, details: "gone" });
  const clusters = await server.take((request) => request.typeUrl === typeUrl.cluster && request.node !== undefined);
  assert.deepEqual(clusters.initialResourceVersions, { c: "c@1" });
  const again = await server.take((request) => request.typeUrl === typeUrl.endpoint);
  assert.deepEqual(again.resourceNamesSubscribe, ["c"]);
  assert.deepEqual(again.initialResourceVersions, { c: "c@1" });
  const listeners = await server.take((request) => request.typeUrl === typeUrl.listener);
  assert.deepEqual(listeners.initialResourceVersions, { l: "l@1" });
  assert.equal(server.tokens.at(-1), "Bearer token-2");
  assert.deepEqual(applied.splice(0), []);
  assert.equal(configuration.isReady, true);
});

test("bytes that are no message end the stream, and a new one begins", { timeout: 10_000 }, async () => {
  server.stream?.write(Buffer.from([0xff, 0xff, 0xff]));
  const begun = await server.take((request) => request.typeUrl === typeUrl.cluster && request.node !== undefined);
  assert.deepEqual(begun.initialResourceVersions, { c: "c@1" });
});

test("a compressed message says what it would say otherwise", { timeout: 10_000 }, async () => {
  const nonce = server.send(typeUrl.cluster, [["c", cluster]], { isCompressed: true });
  assert.equal((await server.take(isAck(typeUrl.cluster, nonce))).errorDetail, undefined);
  const plain = server.send(typeUrl.cluster, [["c", cluster]]);
  assert.equal((await server.take(isAck(typeUrl.cluster, plain))).errorDetail, undefined);
  applied.length = 0;
});

for (const [name, bytes, reason] of [
  ["that is no gzip", Buffer.from("not compressed"), /decompress/],
  ["that is cut off", gzipSync(Buffer.alloc(4096, "text")).subarray(0, 20), /decompress/],
  ["that would not end", gzipSync(Buffer.alloc(64 * maxMessageBytes)), /larger than/],
] as const) {
  test(`a compressed message ${name} ends the stream, and a new one begins`, { timeout: 10_000 }, async () => {
    assert.ok(bytes.length < maxMessageBytes);
    server.stream?.write(new MessageFrame(bytes, true));
    const begun = await server.take((request) => request.typeUrl === typeUrl.cluster && request.node !== undefined);
    assert.deepEqual(begun.initialResourceVersions, { c: "c@1" });
    assert.match(reasons.at(-1) ?? "", reason);
    assert.deepEqual(applied, []);
  });
}

test("without a control plane the last configuration stays and the reason is told", { timeout: 10_000 }, async () => {
  server.server.forceShutdown();
  const lost = Promise.withResolvers<void>();
  const look = setInterval(() => client.status.connected || lost.resolve(), 1);
  await lost.promise;
  clearInterval(look);
  assert.equal(configuration.isReady, true);
  assert.notEqual(client.status.lastError, "");
  assert.deepEqual(applied, []);
  client.stop();
});
