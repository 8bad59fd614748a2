// HTTP/2 peers that the test plays itself, frame by frame, and node:http2 as a server that a test need not write.
import { once } from "node:events";
import {
  type ClientHttp2Session,
  type ClientSessionOptions,
  connect as connectHttp2,
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
  type ServerOptions,
} from "node:http2";
import { type AddressInfo, connect, type Socket } from "node:net";
import { CLIENT_PREFACE } from "#wire/http2/frame.ts";
import { HpackDecoder } from "#wire/http2/hpack/decoder.ts";
import { describe, parseFrames, type RawFrame, settings, settingsAck } from "#wire/http2/testing/raw-frames.ts";
import { type RawServer, rawServer } from "./raw-peers.ts";
import { until } from "./requests.ts";

/** One end of a connection: sends bytes, and keeps the frames that come. */
export class RawHttp2 {
  readonly socket: Socket;
  readonly frames: RawFrame[] = [];
  /** The frames in words. */
  readonly words: string[] = [];
  /** Fields of each header block, by stream. */
  readonly heads: Map<number, Map<string, string>[]> = new Map();
  ended = false;
  closed = false;
  onFrame: ((frame: RawFrame) => void) | null = null;
  #rest: Buffer = Buffer.alloc(0);
  #prefaceLeft: number;
  readonly #decoder: HpackDecoder = new HpackDecoder(true);

  constructor(socket: Socket, isServer: boolean) {
    this.socket = socket;
    this.#prefaceLeft = isServer ? CLIENT_PREFACE.length : 0;
    socket.on("data", (data: Buffer) => this.#read(data));
    socket.on("end", () => (this.ended = true));
    socket.on("close", () => (this.closed = true));
    socket.on("error", () => {});
  }

  #read(data: Buffer): void {
    let bytes = Buffer.concat([this.#rest, data]);
    if (this.#prefaceLeft > 0) {
      const count = Math.min(this.#prefaceLeft, bytes.length);
      this.#prefaceLeft -= count;
      bytes = bytes.subarray(count);
    }
    let end = 0;
    while (bytes.length - end >= 9 && bytes.length - end >= 9 + bytes.readUIntBE(end, 3)) {
      end += 9 + bytes.readUIntBE(end, 3);
    }
    this.#rest = bytes.subarray(end);
    for (const frame of parseFrames(bytes.subarray(0, end))) this.#take(frame);
  }

  #take(frame: RawFrame): void {
    this.frames.push(frame);
    this.words.push(describe(frame));
    if (frame.type === "HEADERS") {
      const fields = new Map<string, string>();
      const onField = (_id: number, name: string, value: string): void => void fields.set(name, value);
      this.#decoder.decode(frame.payload, 0, frame.payload.length, { onField });
      const before = this.heads.get(frame.streamId) ?? [];
      this.heads.set(frame.streamId, [...before, fields]);
    }
    this.onFrame?.(frame);
  }

  send(...bytes: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(bytes));
  }

  /** Waits for a frame, in words. */
  async sees(words: string | RegExp): Promise<void> {
    await until(() => this.words.some((it) => (typeof words === "string" ? it === words : words.test(it))));
  }

  count(words: RegExp): number {
    return this.words.filter((it) => words.test(it)).length;
  }

  /** The first header block of the stream whose field is there. */
  field(streamId: number, name: string): string | undefined {
    return this.heads
      .get(streamId)
      ?.find((fields) => fields.has(name))
      ?.get(name);
  }

  async isEnded(): Promise<void> {
    await until(() => this.ended || this.closed);
  }
}

export interface RawClientOptions {
  /** Identifiers and values of the SETTINGS. */
  readonly settings?: readonly (readonly [number, number])[];
  /** Sends nothing by itself. */
  readonly silent?: boolean;
}

export function rawHttp2Client(port: number, options: RawClientOptions = {}): RawHttp2 {
  const client = new RawHttp2(connect({ port, host: "127.0.0.1", allowHalfOpen: true }), false);
  if (options.silent !== true) client.send(CLIENT_PREFACE, settings(...(options.settings ?? [])), settingsAck);
  return client;
}

export interface RawHttp2Server extends RawServer {
  readonly connections: readonly RawHttp2[];
}

/** Calls back with each frame of each connection. The preface is sent at once. */
export async function rawHttp2Server(
  onFrame: (connection: RawHttp2, frame: RawFrame) => void,
  ownSettings: readonly (readonly [number, number])[] = [],
): Promise<RawHttp2Server> {
  const connections: RawHttp2[] = [];
  const server = await rawServer((socket) => {
    const connection = new RawHttp2(socket, true);
    connections.push(connection);
    connection.send(settings(...ownSettings));
    connection.onFrame = (frame) => {
      if (frame.type === "SETTINGS" && (frame.flags & 1) === 0) connection.send(settingsAck);
      onFrame(connection, frame);
    };
    socket.on("end", () => socket.end());
  });
  return { ...server, connections };
}

/** Sends that many pieces of a flood, some at a time, and no more once the connection is over. */
export async function press(attacker: RawHttp2, count: number, flood: (i: number) => Buffer): Promise<void> {
  for (let i = 0; i < count && !attacker.ended && !attacker.closed; i += 8) {
    const pieces = Array.from({ length: Math.min(8, count - i) }, (_, n) => flood(i + n));
    await new Promise((resolve) => attacker.socket.write(Buffer.concat(pieces), resolve));
    await new Promise(setImmediate);
  }
}

export interface Http2TestServer {
  readonly port: number;
  sessions: number;
  stop(): void;
}

export async function http2Server(
  handler: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void,
  options: ServerOptions = {},
): Promise<Http2TestServer> {
  const server = createServer({ ...options, settings: { enableConnectProtocol: true, ...options.settings } });
  const sessions = new Set<{ destroy(): void }>();
  server.on("session", (session) => {
    sessions.add(session);
    result.sessions++;
    session.on("error", () => {});
    session.on("close", () => sessions.delete(session));
  });
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on("error", () => {});
    handler(stream, headers);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const result: Http2TestServer = {
    port: (server.address() as AddressInfo).port,
    sessions: 0,
    stop: () => {
      for (const session of sessions) session.destroy();
      server.close();
    },
  };
  return result;
}

export interface Http2Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly trailers: IncomingHttpHeaders;
}

/** A session of node:http2 to the port. */
export function http2Session(port: number, options: ClientSessionOptions = {}): ClientHttp2Session {
  const session = connectHttp2(`http://127.0.0.1:${port}`, options);
  session.on("error", () => {});
  return session;
}

export async function askHttp2(
  session: ClientHttp2Session,
  headers: Readonly<Record<string, string>> = {},
  body?: Buffer | string,
): Promise<Http2Answer> {
  const stream = session.request({ ":path": "/", ...headers }, { endStream: body === undefined });
  let trailers: IncomingHttpHeaders = {};
  stream.on("trailers", (received: IncomingHttpHeaders) => {
    trailers = received;
  });
  if (body !== undefined) stream.end(body);
  const [response] = (await once(stream, "response")) as [IncomingHttpHeaders & { ":status"?: number }];
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return { status: response[":status"] ?? 0, headers: response, body: Buffer.concat(chunks).toString(), trailers };
}
