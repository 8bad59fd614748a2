// CPU per request of the HTTP/2 codec: a typical request and its response through a client and a server connection in
// memory, against node:http2 over a pair of in-memory streams. The heads come as the HTTP/1 parser leaves them.
import { connect, createServer, type ServerHttp2Stream } from "node:http2";
import { type Duplex, duplexPair } from "node:stream";
import { Headers } from "../src/wire/http/headers.ts";
import { HeadParser, REQUEST, RESPONSE } from "../src/wire/http1/head-parser.ts";
import { http2CodecCounters } from "../src/wire/http2/codec-counters.ts";
import { CLIENT, Http2Connection, SERVER } from "../src/wire/http2/connection.ts";
import type { PseudoHeaders } from "../src/wire/http2/head.ts";
import type { Http2Events, Http2Sink } from "../src/wire/http2/owner.ts";
import { type Http2Settings, meshSettings } from "../src/wire/http2/settings.ts";
import type { Http2Stream, Http2StreamHandler } from "../src/wire/http2/stream.ts";
import { alternate, type Benchmark, type Figure, figure } from "./harness/benchmark.ts";

const authority = "reviews.default.svc.cluster.local:9080";
const body = Buffer.alloc(1024, "x");
const samples = 4096;

function hex(value: number, digits: number): string {
  return (Math.imul(value + 1, 0x9e3779b1) >>> 0).toString(16).padStart(8, "0").repeat(4).slice(0, digits);
}

function requestHead(i: number): string {
  return [
    `GET /reviews/${i % 5}?page=${i % 3} HTTP/1.1`,
    `Host: ${authority}`,
    "User-Agent: python-requests/2.31.0",
    "Accept-Encoding: gzip, deflate",
    "Accept: */*",
    "Connection: keep-alive",
    `X-Request-Id: ${hex(i, 8)}-${hex(i + 1, 4)}-4abc-9def-${hex(i + 2, 12)}`,
    `Traceparent: 00-${hex(i, 32)}-${hex(i + 3, 16)}-01`,
    "X-Forwarded-Proto: http",
    "X-Envoy-Attempt-Count: 1",
    "X-Envoy-Peer-Metadata-Id: sidecar~10.1.2.3~productpage-v1-6b746f74dc-9stvs.default~default.svc.cluster.local",
    "X-Envoy-Decorator-Operation: reviews.default.svc.cluster.local:9080/*",
    "Content-Type: application/json",
    "End-User: jason",
    "\r\n",
  ].join("\r\n");
}

function responseHead(i: number): string {
  return [
    "HTTP/1.1 200 OK",
    "Server: nginx/1.22.1",
    `Date: Sat, 21 Nov 2026 12:00:${String(Math.floor(i / 100)).padStart(2, "0")} GMT`,
    "Content-Type: application/json",
    "Content-Length: 1024",
    "Last-Modified: Sat, 21 Nov 2026 10:00:00 GMT",
    "Connection: keep-alive",
    'ETag: "655c0b60-400"',
    "X-Envoy-Upstream-Service-Time: 3",
    "\r\n",
  ].join("\r\n");
}

function parsed(text: string, kind: number): HeadParser {
  const parser = new HeadParser(kind, { maxBytes: 60 * 1024, maxHeaders: 100 });
  const bytes = Buffer.from(text, "latin1");
  parser.parse(bytes, 0, bytes.length);
  return parser;
}

class Wire implements Http2Sink {
  readonly counters = http2CodecCounters();
  peer: Http2Connection | null = null;
  #dirty: Http2Connection | null = null;

  writeBytes(bytes: Buffer): boolean {
    this.peer?.receive(bytes);
    return true;
  }

  flushSoon(connection: Http2Connection): void {
    this.#dirty = connection;
  }

  now(): number {
    return 0;
  }

  turn(): boolean {
    const connection = this.#dirty;
    if (connection === null) return false;
    this.#dirty = null;
    connection.flush();
    return true;
  }
}

const silent: Http2Events = {
  onStream: () => {},
  onHeadTooLarge: () => {},
  onMalformedRequest: () => {},
  onStreamError: (_id, _code, words) => {
    throw new Error(words);
  },
  onGoaway: () => {},
  onSettings: () => {},
  onConnectionError: (_code, words) => {
    throw new Error(words);
  },
  onDrained: () => {},
};

class Ours implements Http2StreamHandler {
  readonly #client: Http2Connection;
  readonly #wires: readonly Wire[];
  readonly #requests: { head: PseudoHeaders; headers: Headers }[] = [];
  readonly #responses: Headers[] = [];
  #sent = 0;
  #done = 0;

  constructor(settings: Http2Settings) {
    for (let i = 0; i < samples; i++) {
      const { method, target, headers } = parsed(requestHead(i), REQUEST);
      this.#requests.push({
        head: { method, scheme: "http", authority, path: target, protocol: "", status: 0 },
        headers,
      });
      this.#responses.push(parsed(responseHead(i), RESPONSE).headers);
    }
    const up = new Wire();
    const down = new Wire();
    this.#wires = [up, down];
    const client = new Http2Connection(CLIENT, settings, up, silent);
    const server = new Http2Connection(SERVER, settings, down, {
      ...silent,
      onStream: (stream: Http2Stream) => {
        stream.sendHead(200, this.#responses[(stream.id >>> 1) % samples] ?? new Headers(), false);
        stream.sendData(body, true);
      },
    });
    up.peer = server;
    down.peer = client;
    this.#client = client;
    client.start();
    server.start();
    this.#settle();
  }

  onHeaders(): void {}
  onInformational(): void {}
  onTrailers(): void {}
  onReset(): void {}
  onDrain(): void {}

  onData(_data: Buffer, isEnd: boolean): void {
    if (isEnd) this.#done++;
  }

  #settle(): void {
    while (this.#wires.some((wire) => wire.turn()));
  }

  run(requests: number, inFlight: number): Promise<void> {
    const target = this.#done + requests;
    while (this.#done < target) {
      for (let i = 0; i < inFlight; i++) {
        const { head, headers } = this.#requests[this.#sent++ % samples]!;
        this.#client.openStream(this, head, headers, true);
      }
      this.#settle();
    }
    return Promise.resolve();
  }
}

class Node {
  readonly #session;
  readonly #requests: Record<string, string>[] = [];
  #sent = 0;

  constructor() {
    const responses: Record<string, string | number>[] = [];
    for (let i = 0; i < samples; i++) {
      const { method, target, headers } = parsed(requestHead(i), REQUEST);
      this.#requests.push({
        ":method": method,
        ":path": target,
        ":scheme": "http",
        ":authority": authority,
        ...plain(headers),
      });
      responses.push({ ":status": 200, ...plain(parsed(responseHead(i), RESPONSE).headers) });
    }
    const [near, far] = duplexPair();
    const server = createServer();
    let served = 0;
    server.on("stream", (stream: ServerHttp2Stream) => {
      stream.respond(responses[served++ % samples]);
      stream.end(body);
    });
    server.emit("connection", far);
    this.#session = connect("http://reviews", { createConnection: (): Duplex => near });
  }

  async run(requests: number, inFlight: number): Promise<void> {
    for (let done = 0; done < requests; done += inFlight) {
      await Promise.all(Array.from({ length: inFlight }, () => this.#request()));
    }
  }

  #request(): Promise<void> {
    return new Promise((resolve, reject) => {
      const stream = this.#session.request(this.#requests[this.#sent++ % samples]);
      stream.on("error", reject);
      stream.on("end", resolve);
      stream.resume();
      stream.end();
    });
  }

  close(): void {
    this.#session.destroy();
  }
}

function plain(headers: Headers): Record<string, string> {
  const result: Record<string, string> = {};
  headers.forEach((name, value) => {
    if (name !== "connection" && name !== "host") result[name] = value;
  });
  return result;
}

interface Case {
  readonly name: string;
  readonly inFlight: number;
  readonly settings: Http2Settings;
}

const cases: readonly Case[] = [
  { name: "1 in flight", inFlight: 1, settings: { ...meshSettings, preserveHeaderCase: true } },
  { name: "32 in flight", inFlight: 32, settings: { ...meshSettings, preserveHeaderCase: true } },
  { name: "32 in flight, Huffman", inFlight: 32, settings: { ...meshSettings, huffman: true } },
];

export const http2Codec: Benchmark = {
  notes: `One request with 12 headers and its response with 8 headers and 1 KiB, encoded by one end and decoded by the other, both
ways: a client and a server connection in one process, without sockets. Ours takes the heads as the HTTP/1 parser leaves them
and keeps the spelling of names, as between two sidecars (not in the row with Huffman coding). Peer: node:http2 over a pair of
in-memory streams, whose own cost is in its figure. CPU is user and system time of the process.`,
  run: async (isQuick) => {
    const figures: Figure[] = [];
    for (const each of cases) figures.push(await compare(each, isQuick ? 50_000 : 300_000, isQuick ? 1 : 5));
    return figures;
  },
};

async function compare({ name, inFlight, settings }: Case, requests: number, rounds: number): Promise<Figure> {
  const ours = new Ours(settings);
  const node = new Node();
  await ours.run(30_000, inFlight); // warm: the compiler has seen the path
  await node.run(3000, inFlight);
  const runs = await alternate(
    rounds,
    () => cpuPerRequest((count) => ours.run(count, inFlight), requests),
    () => cpuPerRequest((count) => node.run(count, inFlight), requests / 10),
  );
  node.close();
  const unit = "µs CPU per request and response, both ends";
  return figure({ name: "http2-codec", case: name, unit, against: "node:http2" }, runs);
}

async function cpuPerRequest(run: (requests: number) => Promise<void>, requests: number): Promise<number> {
  const before = process.cpuUsage();
  await run(requests);
  const used = process.cpuUsage(before);
  return (used.user + used.system) / requests;
}
