// Many xDS clients in one process: each has a connection and a delta stream of its own, subscribes as a sidecar does and
// accepts everything. They read responses only as far as that needs: names, versions, nonces.
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import { gunzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
} from "../../src/wire/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { acceptEncodingKey, gzip } from "../../src/wire/grpc/message-frame.ts";
import { adsPath } from "../../src/wire/grpc/service-definition.ts";
import { typeUrl } from "../../src/wire/xds/type-urls.ts";
import { appOf, lonelyPod, type MeshSize, podOf, type SimulatedPod } from "./mesh.ts";
import { type EndpointChange, monotonicMs, type ProxiesAnswer, type ProxiesCommand, quantile } from "./messages.ts";

/** By service, of every tenth proxy: when it answered, in order. Undefined while nobody asks. */
let answers: Map<number, number[]>[] | undefined;
const sampleEvery = 10;

const totals = { responses: 0, resources: 0, bytes: 0, lastMs: 0 };
const interned = new Map<string, string>();

interface Response {
  readonly typeUrl: string;
  readonly nonce: string;
  /** Name and version. */
  readonly resources: readonly (readonly [string, string])[];
  readonly removed: readonly string[];
}

class SimulatedProxy {
  readonly #pod: SimulatedPod;
  readonly #place: number;
  readonly #versionsByType = new Map<string, Map<string, string>>();
  #session: ClientHttp2Session | undefined;
  #stream: ClientHttp2Stream | undefined;
  #chunks: Buffer[] = [];
  #size = 0;
  lastAckMs = 0;

  constructor(pod: SimulatedPod, place: number) {
    this.#pod = pod;
    this.#place = place;
  }

  open(port: number): void {
    this.#stream = undefined;
    this.#session?.destroy();
    this.#chunks = [];
    this.#size = 0;
    const session = connect(`http://127.0.0.1:${port}`, { settings: { initialWindowSize: 16 << 20 } });
    session.on("error", () => {});
    session.once("connect", () => session.setLocalWindowSize(16 << 20));
    const stream = session.request({
      ":method": "POST",
      ":path": adsPath.delta,
      "content-type": "application/grpc",
      te: "trailers",
      [acceptEncodingKey]: gzip,
    });
    // As proxies do: come again, not all at once.
    stream.on("error", () => {});
    stream.once("close", () => {
      if (this.#stream === stream) setTimeout(() => this.open(port), 200 + Math.random() * 800);
    });
    stream.on("data", (chunk: Buffer) => this.#take(chunk));
    this.#session = session;
    this.#stream = stream;
    this.#request(typeUrl.cluster, { initialResourceVersions: this.#initial(typeUrl.cluster) }, true);
    this.#request(typeUrl.listener, { initialResourceVersions: this.#initial(typeUrl.listener) });
    const clusters = [...(this.#versionsByType.get(typeUrl.cluster)?.keys() ?? [])].filter(hasEndpoints);
    if (clusters.length > 0) this.#subscribe(typeUrl.endpoint, clusters);
    this.#subscribe(typeUrl.route, ["80"]);
  }

  #initial(url: string): Record<string, string> {
    return Object.fromEntries(this.#versionsByType.get(url) ?? []);
  }

  #subscribe(url: string, names: string[]): void {
    this.#request(url, { resourceNamesSubscribe: names, initialResourceVersions: this.#initial(url) });
  }

  #take(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    while (this.#size >= 5) {
      const first = this.#joined(5);
      const length = first.readUInt32BE(1);
      if (this.#size < 5 + length) return;
      const all = this.#joined(5 + length);
      this.#chunks = [all.subarray(5 + length)];
      this.#size -= 5 + length;
      const message = all.subarray(5, 5 + length);
      this.#answer(first[0] === 1 ? readCompressed(message) : readResponse(message));
      totals.bytes += length;
    }
  }

  /** The first chunk, with at least so many bytes. */
  #joined(length: number): Buffer {
    if ((this.#chunks[0]?.length ?? 0) < length) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0] ?? Buffer.alloc(0);
  }

  #answer(response: Response): void {
    const url = intern(response.typeUrl);
    let versions = this.#versionsByType.get(url);
    if (versions === undefined) {
      versions = new Map();
      this.#versionsByType.set(url, versions);
    }
    const added = response.resources.filter(([name]) => !versions.has(name)).map(([name]) => name);
    for (const [name, version] of response.resources) versions.set(name, version);
    for (const name of response.removed) versions.delete(name);
    this.#request(url, { responseNonce: response.nonce });
    const endpoints = added.filter(hasEndpoints);
    if (url === typeUrl.cluster && endpoints.length > 0) {
      this.#request(typeUrl.endpoint, { resourceNamesSubscribe: endpoints });
    }
    this.lastAckMs = monotonicMs();
    if (url === typeUrl.endpoint) this.#record(response);
    totals.responses++;
    totals.resources += response.resources.length;
    totals.lastMs = this.lastAckMs;
  }

  #record({ resources }: Response): void {
    if (answers === undefined || this.#place % sampleEvery !== 0) return;
    const own = (answers[this.#place / sampleEvery] ??= new Map());
    for (const [name] of resources) {
      const service = Number(/\|svc-(\d+)\./.exec(name)?.[1] ?? -1);
      const times = own.get(service);
      if (times === undefined) own.set(service, [this.lastAckMs]);
      else times.push(this.lastAckMs);
    }
  }

  #request(url: string, fields: Partial<DeltaDiscoveryRequest>, isFirst = false): void {
    const { name, namespace, address } = this.#pod;
    const node = {
      id: `sidecar~${address}~${name}.${namespace}~${namespace}.svc.cluster.local`,
      cluster: `${appOf(this.#pod)}.${namespace}`,
      userAgentName: "outrigger",
      metadata: {
        NAMESPACE: namespace,
        SERVICE_ACCOUNT: appOf(this.#pod),
        LABELS: { app: appOf(this.#pod), version: "v1" },
        INSTANCE_IPS: address,
        ISTIO_VERSION: "1.31.0",
        CLUSTER_ID: "Kubernetes",
      },
    };
    const message = create(DeltaDiscoveryRequestSchema, {
      ...(isFirst && { node }),
      typeUrl: url,
      ...(fields as object),
    });
    const bytes = toBinary(DeltaDiscoveryRequestSchema, message);
    const frame = Buffer.alloc(5 + bytes.length);
    frame.writeUInt32BE(bytes.length, 1);
    frame.set(bytes, 5);
    this.#stream?.write(frame);
  }
}

function hasEndpoints(cluster: string): boolean {
  return cluster.startsWith("outbound|");
}

/** Compressed messages that were read last, and what they say. */
const read: { readonly message: Buffer; readonly response: Response }[] = [];
const maxRead = 256;

/**
 * Equal bytes are read once: proxies that are sent the same would each read it on a machine of its own, and here they are
 * all in one process.
 */
function readCompressed(message: Buffer): Response {
  const known = read.find((item) => item.message.equals(message));
  if (known !== undefined) return known.response;
  const response = readResponse(gunzipSync(message, { chunkSize: 1 << 20 }));
  read.unshift({ message: Buffer.from(message), response });
  if (read.length > maxRead) read.pop();
  return response;
}

/** envoy/service/discovery/v3/discovery.proto, DeltaDiscoveryResponse; resources stay bytes. */
function readResponse(bytes: Uint8Array): Response {
  const reader = new BinaryReader(bytes);
  const resources: [string, string][] = [];
  const removed: string[] = [];
  let url = "";
  let nonce = "";
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 2) resources.push(readResource(reader));
    else if (field === 4) url = reader.string();
    else if (field === 5) nonce = reader.string();
    else if (field === 6) removed.push(reader.string());
    else reader.skip(type, field);
  }
  return { typeUrl: url, nonce, resources, removed };
}

function readResource(reader: BinaryReader): [string, string] {
  const end = reader.uint32() + reader.pos;
  let name = "";
  let version = "";
  while (reader.pos < end) {
    const [field, type] = reader.tag();
    if (field === 1) version = reader.string();
    else if (field === 3) name = reader.string();
    else reader.skip(type, field);
  }
  return [intern(name), intern(version)];
}

function intern(text: string): string {
  const known = interned.get(text);
  if (known !== undefined) return known;
  interned.set(text, text);
  return text;
}

const proxies: SimulatedProxy[] = [];
let latencies: ArrayLike<number> = [];
let port = 0;

function podAt(size: MeshSize, index: number): SimulatedPod {
  if (index === 0) return lonelyPod;
  return podOf(size, (index - 1) % size.services, Math.floor((index - 1) / size.services));
}

/** Opens connections in groups, so that the kernel's accept queue holds them. */
async function openAll(): Promise<void> {
  for (let start = 0; start < proxies.length; start += 250) {
    for (const proxy of proxies.slice(start, start + 250)) proxy.open(port);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function perform(command: ProxiesCommand): Promise<void> {
  switch (command.do) {
    case "connect":
      port = command.port;
      begin();
      for (let index = 0; index < command.count; index++) {
        proxies.push(new SimulatedProxy(podAt(command.size, index), index));
      }
      return openAll();
    case "begin":
      return begin();
    case "reconnect":
      begin();
      return openAll();
    case "record":
      answers = [];
      return;
    case "latencies":
      latencies = latenciesOf(command.changes);
      answers = undefined;
      return;
    case "settle": {
      const deadline = monotonicMs() + command.timeoutMs;
      for (;;) {
        const answered = proxies.filter((proxy) => proxy.lastAckMs > 0).length;
        const isQuiet = monotonicMs() - totals.lastMs > command.quietMs;
        if ((answered >= command.expected && isQuiet) || monotonicMs() > deadline) return;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }
}

/** A proxy that does not see a service never answers for it. */
function latenciesOf(changes: readonly EndpointChange[]): Float64Array {
  const found = changes.flatMap(({ service, atMs }) =>
    (answers ?? []).flatMap((own) => {
      const at = own.get(service)?.find((time) => time >= atMs);
      return at === undefined ? [] : [at - atMs];
    }),
  );
  return Float64Array.from(found).sort();
}

function begin(): void {
  for (const proxy of proxies) proxy.lastAckMs = 0;
  Object.assign(totals, { responses: 0, resources: 0, bytes: 0, lastMs: 0 });
}

process.on("message", (command: ProxiesCommand) => {
  perform(command).then(
    () => {
      const lastAckMs = proxies.map((proxy) => proxy.lastAckMs).filter((at) => at > 0);
      const { responses, resources, bytes } = totals;
      const [p50Ms, p99Ms] = [quantile(latencies, 0.5), quantile(latencies, 0.99)];
      const { user, system } = process.cpuUsage();
      const cpuSeconds = (user + system) / 1e6;
      const answer: ProxiesAnswer = { lastAckMs, responses, resources, bytes, cpuSeconds, p50Ms, p99Ms };
      process.send?.(answer);
    },
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.on("disconnect", () => process.exit(0));
