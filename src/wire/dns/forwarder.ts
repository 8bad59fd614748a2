// Asks other resolvers for names outside the cluster: each question goes to the first, then to the next when it stays
// silent. The sockets are given: in the sandbox they live in the host's network.

import { randomInt } from "node:crypto";
import type { Socket as UdpSocket } from "node:dgram";

export interface Forwarder {
  /** The answer to the message under its own id; undefined when nobody answered in time. */
  ask(query: Buffer): Promise<Buffer | undefined>;
  close(): void;
}

export interface ForwarderOptions {
  /** Bound, in a network from which the resolvers can be reached. */
  readonly socket: UdpSocket;
  /** Tried in this order. */
  readonly resolvers: readonly { readonly address: string; readonly port: number }[];
  /** For each resolver; default 1500. */
  readonly timeoutMs?: number;
}

const maxInFlight = 1_024;

interface Pending {
  readonly originalId: number;
  readonly question: Buffer;
  readonly resolve: (answer: Buffer | undefined) => void;
  timer: NodeJS.Timeout;
}

export function openForwarder(options: ForwarderOptions): Forwarder {
  const { socket, resolvers, timeoutMs = 1_500 } = options;
  const pendingById = new Map<number, Pending>();
  socket.unref();
  socket.on("error", () => {
    // Questions in flight run into their time-out.
  });
  socket.on("message", (answer, peer) => {
    if (answer.length < 12 || !resolvers.some(({ address, port }) => address === peer.address && port === peer.port))
      return;
    const id = answer.readUInt16BE(0);
    const pending = pendingById.get(id);
    // Whoever guesses an id must also know the question.
    if (pending === undefined || !answer.subarray(12).subarray(0, pending.question.length).equals(pending.question))
      return;
    pendingById.delete(id);
    clearTimeout(pending.timer);
    const own = Buffer.from(answer);
    own.writeUInt16BE(pending.originalId, 0);
    pending.resolve(own);
  });
  const attempt = (query: Buffer, id: number, index: number): void => {
    const resolver = resolvers[index];
    const pending = pendingById.get(id);
    if (pending === undefined) return;
    if (resolver === undefined) {
      pendingById.delete(id);
      pending.resolve(undefined);
      return;
    }
    socket.send(query, resolver.port, resolver.address, () => {
      // A resolver that cannot be reached is one that stays silent.
    });
    pending.timer = setTimeout(() => attempt(query, id, index + 1), timeoutMs);
  };
  return {
    ask: (query) =>
      new Promise((resolve) => {
        if (pendingById.size >= maxInFlight || resolvers.length === 0) return resolve(undefined);
        let id = randomInt(65_536);
        while (pendingById.has(id)) id = (id + 1) & 0xffff;
        const forwarded = Buffer.from(query);
        forwarded.writeUInt16BE(id, 0);
        const question = questionOf(query);
        pendingById.set(id, { originalId: query.readUInt16BE(0), question, resolve, timer: setTimeout(() => {}, 0) });
        attempt(forwarded, id, 0);
      }),
    close: () => {
      for (const pending of pendingById.values()) {
        clearTimeout(pending.timer);
        pending.resolve(undefined);
      }
      pendingById.clear();
      socket.close();
    },
  };
}

/** The name of the question section, which an answer has to repeat. */
function questionOf(query: Buffer): Buffer {
  let end = 12;
  while (end < query.length && query[end] !== 0) end += 1 + (query[end] ?? 0);
  return query.subarray(12, Math.min(query.length, end + 5));
}
