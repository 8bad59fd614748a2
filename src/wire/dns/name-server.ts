// A DNS server, UDP and TCP, for whoever knows some names: what it does not know is asked of other resolvers when there
// are any. Limits: message size, connections, questions in flight.

import { createSocket, type RemoteInfo, type Socket as UdpSocket } from "node:dgram";
import { createServer, type Server, type Socket } from "node:net";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import type { Forwarder } from "./forwarder.ts";
import {
  decodeQuery,
  encodeFailure,
  encodeResponse,
  headerBytes,
  type Query,
  type Response,
  ResponseCode,
} from "./message.ts";

export interface NameServerOptions {
  readonly host: string;
  /** 0 picks one, the same for UDP and TCP. */
  readonly port: number;
  /** `elsewhere` leaves the question to the forwarder. Never throws. */
  readonly answer: (query: Query) => Response | "elsewhere";
  /** Absent: names that are elsewhere do not exist. */
  readonly forwarder?: Forwarder;
  readonly log: Logger;
}

export interface RunningNameServer extends Running {
  readonly port: number;
}

const maxConnections = 512;
const idleTimeoutMs = 10_000;
const plainUdpBytes = 512;

export async function startNameServer(options: NameServerOptions): Promise<RunningNameServer> {
  const udp = createSocket({ type: "udp4", recvBufferSize: 1 << 20 });
  const connections = new Set<Socket>();
  udp.on("message", (bytes, peer) => void answerUdp(options, udp, bytes, peer));
  udp.on("error", (error) => options.log.warn(`DNS over UDP: ${error.message}`));
  const tcp = createServer((socket) => {
    connections.add(socket);
    socket.once("close", () => connections.delete(socket));
    serveConnection(options, socket);
  });
  tcp.maxConnections = maxConnections;
  const port = await listenTcp(tcp, options);
  tcp.on("error", (error) => options.log.warn(`DNS over TCP: ${error.message}`));
  await new Promise<void>((resolve, reject) => {
    udp.once("error", reject);
    udp.bind({ address: options.host, port }, () => {
      udp.off("error", reject);
      resolve();
    });
  });
  return {
    port,
    stop: async () => {
      udp.close();
      tcp.close();
      for (const socket of connections) socket.destroy();
      options.forwarder?.close();
    },
  };
}

function listenTcp(server: Server, options: NameServerOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: options.host, port: options.port }, () => {
      server.off("error", reject);
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : options.port);
    });
  });
}

async function answerUdp(options: NameServerOptions, udp: UdpSocket, bytes: Buffer, peer: RemoteInfo): Promise<void> {
  const answer = await answerMessage(options, bytes, true);
  if (answer === undefined) return;
  udp.send(answer, peer.port, peer.address, () => {
    // The client asks again when the answer gets lost.
  });
}

/** Messages over TCP have their length in front (RFC 1035 4.2.2), and may come one after the other. */
function serveConnection(options: NameServerOptions, socket: Socket): void {
  let pending: Buffer = Buffer.alloc(0);
  let isBusy = false;
  socket.setTimeout(idleTimeoutMs, () => socket.destroy());
  socket.on("error", () => socket.destroy());
  const next = async (): Promise<void> => {
    if (isBusy) return;
    isBusy = true;
    while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
      const length = pending.readUInt16BE(0);
      const message = pending.subarray(2, 2 + length);
      pending = pending.subarray(2 + length);
      const answer = await answerMessage(options, message, false);
      if (answer === undefined || socket.destroyed) break;
      const prefix = Buffer.alloc(2);
      prefix.writeUInt16BE(answer.length, 0);
      socket.write(Buffer.concat([prefix, answer]));
    }
    isBusy = false;
    socket.resume();
  };
  socket.on("data", (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    // One message is at most 64 KB; whoever sends more before reading has to wait.
    if (pending.length > 65_537) socket.pause();
    void next();
  });
}

/** The bytes of the answer, or undefined when none is due. Never rejects. */
async function answerMessage(options: NameServerOptions, bytes: Buffer, isUdp: boolean): Promise<Buffer | undefined> {
  const query = decodeQuery(bytes);
  if (query === undefined) return undefined;
  if (typeof query === "number") return bytes.length < headerBytes ? undefined : encodeFailure(bytes, query);
  const limit = isUdp ? (query.udpSize ?? plainUdpBytes) : 65_535;
  const response = answerQuery(options, query);
  if (response !== "elsewhere") return encodeResponse(query, response, limit);
  if (options.forwarder === undefined) return encodeResponse(query, outsideUnknown, limit);
  const forwarded = await options.forwarder.ask(bytes);
  return forwarded ?? encodeResponse(query, failure(ResponseCode.ServerFailure), limit);
}

const outsideUnknown: Response = { code: ResponseCode.NameError, answers: [], authoritative: false };

function failure(code: ResponseCode): Response {
  return { code, answers: [], authoritative: false };
}

function answerQuery(options: NameServerOptions, query: Query): Response | "elsewhere" {
  if (query.opcode !== 0) return failure(ResponseCode.NotImplemented);
  if (query.question.class !== 1 && query.question.class !== 255) return failure(ResponseCode.Refused);
  return options.answer(query);
}
