// Both ports keep the same promises.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { describe, test } from "node:test";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { testAuthority } from "../listener/testing/certificates.ts";
import { openHandlePort } from "./handle-port.ts";
import type { Port, PortUser } from "./port.ts";
import { ReadBuffer } from "./read-buffer.ts";
import { StreamPort } from "./stream-port.ts";

const memory = new ReadBuffer();
const kinds: Readonly<Record<string, (socket: Socket, user: PortUser) => Port>> = {
  "handle port": (socket, user) => {
    const port = openHandlePort(socket, user, memory);
    assert.ok(port !== null, "this Node's handles are not the known ones");
    return port;
  },
  "stream port": (socket, user) => new StreamPort(socket, user),
};

/** Collects what a port says; `arrived` waits for that many bytes. */
class Listener implements PortUser {
  readonly data: Buffer[] = [];
  sent = 0;
  #wanted: { readonly bytes: number; readonly done: () => void } | null = null;
  onSent: (() => void) | null = null;

  get bytes(): number {
    return this.data.reduce((sum, data) => sum + data.length, 0);
  }

  get text(): string {
    return Buffer.concat(this.data).toString("latin1");
  }

  onPortData(data: Buffer): void {
    this.data.push(data);
    if (this.#wanted !== null && this.bytes >= this.#wanted.bytes) this.#wanted.done();
  }

  onPortSent(): void {
    this.sent++;
    this.onSent?.();
  }

  arrived(bytes: number): Promise<void> {
    return new Promise((done) => {
      this.#wanted = { bytes, done };
      if (this.bytes >= bytes) done();
    });
  }
}

/** An accepted socket, as a listener gets it, and its peer. */
async function pair(): Promise<{ accepted: Socket; peer: Socket }> {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const peer = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", allowHalfOpen: true });
  const [accepted] = (await once(server, "connection")) as [Socket];
  server.close();
  accepted.on("error", () => {});
  peer.on("error", () => {});
  return { accepted, peer };
}

function textOf(socket: Socket): Promise<string> {
  const parts: Buffer[] = [];
  socket.on("data", (data: Buffer) => parts.push(data));
  return once(socket, "end").then(() => Buffer.concat(parts).toString("latin1"));
}

async function bytesOf(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  socket.on("data", (data: Buffer) => parts.push(data));
  await once(socket, "end");
  return Buffer.concat(parts);
}

/** No two places of it look the same. */
function patternOf(bytes: number, seed: number): Buffer {
  const words = new Uint32Array(bytes / 4);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + seed * 7919, 2654435761);
  return Buffer.from(words.buffer);
}

/** Whether `got` is `source` with the word "text" seven bytes behind the beginning of each read. */
function withoutText(got: Buffer, source: Buffer): boolean {
  let at = 0;
  let from = 0;
  while (from < source.length) {
    const next = got.indexOf("text", at + 7, "latin1");
    if (next < 0) return got.subarray(at).equals(source.subarray(from));
    const length = next - at;
    if (!got.subarray(at, next).equals(source.subarray(from, from + length))) return false;
    from += length;
    at = next + 4;
  }
  return at === got.length;
}

for (const [kind, open] of Object.entries(kinds)) {
  describe(kind, () => {
    test("text and bytes arrive in the order in which they were sent, and the end after them", async (t) => {
      const { accepted, peer } = await pair();
      t.after(() => accepted.destroy());
      const received = textOf(peer);
      const port = open(accepted, new Listener());
      port.sendText("\xe9ins,");
      port.sendChunks(["zwei,", Buffer.from("drei,"), "vier,"]);
      port.sendChunks([Buffer.from("f\xfcnf", "latin1")]);
      port.end();
      assert.equal(await received, "\xe9ins,zwei,drei,vier,f\xfcnf");
      peer.destroy();
    });

    test("what a peer does not read counts as unsent, and is told when it leaves", async (t) => {
      const { accepted, peer } = await pair();
      t.after(() => accepted.destroy());
      const listener = new Listener();
      const port = open(accepted, listener);
      const bytes = 32 << 20;
      port.sendChunks([Buffer.alloc(bytes, 0x61)]);
      assert.ok(port.unsentBytes > 0);
      assert.ok(port.queueBytes >= port.unsentBytes);
      const all = new Promise<void>((done) => {
        listener.onSent = () => {
          if (port.unsentBytes === 0) done();
        };
      });
      // An end that is asked for meanwhile must not overtake the bytes.
      port.end();
      const received = textOf(peer);
      await all;
      assert.equal((await received).length, bytes);
      peer.destroy();
    });

    test("a paused port delivers nothing until it is resumed", async (t) => {
      const { accepted, peer } = await pair();
      t.after(() => accepted.destroy());
      const listener = new Listener();
      const port = open(accepted, listener);
      port.startReading();
      peer.write("first");
      await listener.arrived(5);
      port.pause();
      peer.write("second");
      await once(peer.end(), "finish");
      await new Promise((done) => setImmediate(() => setImmediate(done)));
      assert.equal(listener.text, "first");
      const ended = once(accepted, "end");
      port.resume();
      await listener.arrived(11);
      assert.equal(listener.text, "firstsecond");
      await ended;
      peer.destroy();
    });

    test("a port that is paused in the turn in which it was resumed delivers nothing, and not the end", async (t) => {
      const { accepted, peer } = await pair();
      t.after(() => accepted.destroy());
      const listener = new Listener();
      const port = open(accepted, listener);
      let isEnded = false;
      accepted.once("end", () => {
        isEnded = true;
      });
      await once(peer.end("early"), "finish");
      port.startReading();
      port.pause();
      for (let turn = 0; turn < 5; turn++) await new Promise((done) => setImmediate(done));
      port.resume();
      port.pause();
      for (let turn = 0; turn < 5; turn++) await new Promise((done) => setImmediate(done));
      assert.equal(listener.text, "");
      assert.equal(isEnded, false);
      port.resume();
      await once(accepted, "end");
      assert.equal(listener.text, "early");
      peer.destroy();
    });

    test("what the stream had read before comes first, and not before a pause ends", async (t) => {
      const { accepted, peer } = await pair();
      t.after(() => accepted.destroy());
      // In several buffers, as records of TLS are.
      for (const text of ["even more,", "before,"]) accepted.push(Buffer.from(text));
      const listener = new Listener();
      const port = open(accepted, listener);
      port.startReading();
      port.pause();
      peer.end("after");
      await new Promise((done) => setImmediate(done));
      assert.equal(listener.text, "");
      port.resume();
      await listener.arrived(22);
      assert.equal(listener.text, "even more,before,after");
      peer.destroy();
    });

    test("bytes stay what they were while other sockets read", async (t) => {
      const pairs = await Promise.all([pair(), pair(), pair()]);
      t.after(() => pairs.forEach(({ accepted, peer }) => [accepted.destroy(), peer.destroy()]));
      const listeners = pairs.map(({ accepted }) => {
        const listener = new Listener();
        open(accepted, listener).startReading();
        return listener;
      });
      const sizes = [10, 5000, 70_000, 16 * 1024, 1];
      for (const size of sizes) {
        for (const [i, { peer }] of pairs.entries()) peer.write(Buffer.alloc(size, 0x61 + i));
        const soFar = sizes.slice(0, sizes.indexOf(size) + 1).reduce((sum, one) => sum + one, 0);
        await Promise.all(listeners.map((listener) => listener.arrived(soFar)));
      }
      for (const [i, listener] of listeners.entries()) {
        assert.ok(
          listener.data.every((data) => data.every((byte) => byte === 0x61 + i)),
          `socket ${i} holds bytes of another one`,
        );
      }
    });

    test("lent bytes arrive whole over another port, also where its peer is slow", async (t) => {
      const flows = await Promise.all([0, 1, 2].map(() => Promise.all([pair(), pair()])));
      t.after(() => flows.flat().forEach(({ accepted, peer }) => [accepted.destroy(), peer.destroy()]));
      const bytes = 24 << 20;
      const sums = flows.map(async ([from, to], i) => {
        const congested = Promise.withResolvers<void>();
        const out: Port = open(to.accepted, {
          onPortData: () => {},
          onPortSent: () => {
            if (out.unsentBytes < 1 << 20) inward.resume();
          },
        });
        const inward: Port = open(from.accepted, {
          onPortData: (data) => {
            out.sendChunks(i === 0 ? [data] : [data.subarray(0, 7), "text", data.subarray(7)]);
            if (out.unsentBytes < 1 << 20) return;
            inward.pause();
            congested.resolve();
          },
          onPortSent: () => {},
        });
        inward.lendReads();
        inward.startReading();
        from.accepted.once("end", () => {
          out.end();
          inward.closed();
        });
        const source = patternOf(bytes, i);
        from.peer.end(source);
        // The reader falls behind: what is lent has to be kept.
        await congested.promise;
        const got = await bytesOf(to.peer);
        return i === 0 ? got.equals(source) : withoutText(got, source);
      });
      assert.deepEqual(await Promise.all(sums), [true, true, true]);
    });

    test("writing to a peer that has reset the connection ends the socket with the system's code", async () => {
      const { accepted, peer } = await pair();
      const port = open(accepted, new Listener());
      port.startReading();
      peer.resetAndDestroy();
      const [error] = (await once(accepted, "error")) as [NodeJS.ErrnoException];
      assert.equal(error.code, "ECONNRESET");
      port.sendText("too late");
      port.end();
      await once(accepted, "close");
    });

    test("a write that the system refuses ends the socket with the system's code", async (t) => {
      const { accepted, peer } = await pair();
      t.after(() => peer.destroy());
      const port = open(accepted, new Listener());
      await once(accepted.end(), "finish");
      port.sendText("after the end");
      const [error] = (await once(accepted, "error")) as [NodeJS.ErrnoException];
      // The stream refuses by itself, the handle asks the kernel.
      assert.match(error.code ?? "", /^(?:EPIPE|ERR_STREAM_WRITE_AFTER_END)$/);
    });
  });
}

test("writes that come while a TLS handle still writes wait their turn, in order", async () => {
  const authority = testAuthority();
  const { certificateChain, privateKey } = authority.issue("spiffe://cluster.local/ns/default/sa/port");
  const server = createTlsServer({ cert: certificateChain, key: privateKey, pauseOnConnect: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const peer = connectTls({ port: (server.address() as AddressInfo).port, rejectUnauthorized: false });
  const [accepted] = (await once(server, "secureConnection")) as [Socket];
  const listener = new Listener();
  const port = openHandlePort(accepted, listener, memory);
  assert.ok(port !== null);
  let expected = "";
  for (let i = 0; i < 50; i++) {
    const text = `${i} `.repeat(2000);
    expected += text;
    if (i % 3 === 0) port.sendText(text);
    else port.sendChunks(i % 3 === 1 ? [Buffer.from(text)] : [text.slice(0, 100), Buffer.from(text.slice(100))]);
  }
  port.end();
  let received = "";
  for await (const data of peer) received += (data as Buffer).toString("latin1");
  assert.equal(received, expected);
  assert.equal(port.unsentBytes, 0);
  peer.destroy();
  accepted.destroy();
  server.close();
  authority.stop();
});

test("busy sockets give their blocks back when they close", async () => {
  const blocks = new ReadBuffer();
  const { accepted, peer } = await pair();
  let read = 0;
  const port = openHandlePort(accepted, { onPortData: (data) => (read += data.length), onPortSent: () => {} }, blocks);
  assert.ok(port !== null);
  port.lendReads();
  port.startReading();
  peer.end(Buffer.alloc(8 << 20));
  await once(accepted, "end");
  assert.equal(read, 8 << 20);
  const others = Array.from({ length: 255 }, () => blocks.lease());
  assert.ok(!others.includes(null));
  assert.equal(blocks.lease(), null, "the socket has none of its own");
  port.closed();
  assert.notEqual(blocks.lease(), null);
  for (const socket of [accepted, peer]) socket.destroy();
});

test("a block is free again when the last who holds it gives it back", () => {
  const blocks = new ReadBuffer();
  const block = blocks.lease();
  assert.ok(block !== null);
  blocks.beginLoan(block);
  assert.equal(blocks.keep(Buffer.alloc(3)), null);
  assert.equal(blocks.keep(block.bytes.subarray(1, 2)), block);
  assert.equal(blocks.keep(block.bytes.subarray(5)), block);
  blocks.endLoan();
  assert.equal(blocks.keep(block.bytes), null);
  blocks.giveBack(block);
  blocks.giveBack(block);
  assert.notEqual(blocks.lease(), block);
  blocks.giveBack(block);
  assert.equal(blocks.lease(), block);
});
