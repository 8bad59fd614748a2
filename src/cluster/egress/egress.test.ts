// The way out between two real sockets on loopback: the dialer of the host and the relay of the cluster without the
// kernel's redirection between them, which test/e2e/egress.test.ts has.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { silentLogger } from "#base/log/log.ts";
import { hostAlias } from "../network/addresses.ts";
import { createDialer, type Dial } from "./dialer.ts";
import { type EgressLimits, startEgressRelay } from "./egress-relay.ts";

async function listen(t: TestContext, onConnection: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    onConnection(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}

interface Way {
  /** A pod's connection to the server. */
  readonly connect: () => Socket;
  readonly problems: string[];
}

/** A way whose every connection goes to a port of the host's loopback. */
async function way(t: TestContext, port: number, given: { limits?: EgressLimits; dial?: Dial } = {}): Promise<Way> {
  const problems: string[] = [];
  const relay = await startEgressRelay({
    host: "127.0.0.1",
    port: 0,
    dial: given.dial ?? createDialer({ hostPorts: [port] }),
    destinationOf: () => ({ address: hostAlias, port }),
    onProblem: (problem) => problems.push(problem),
    podAt: () => "default/web",
    log: silentLogger,
    ...(given.limits !== undefined && { limits: given.limits }),
  });
  t.after(() => relay.stop());
  const open = (): Socket => {
    const socket = connect({ host: "127.0.0.1", port: relay.port, allowHalfOpen: true });
    socket.on("error", () => {});
    t.after(() => socket.destroy());
    return socket;
  };
  return { connect: open, problems };
}

async function textOf(socket: Socket): Promise<string> {
  let text = "";
  socket.on("data", (chunk: Buffer) => {
    text += String(chunk);
  });
  await once(socket, "end");
  return text;
}

function endOf(socket: Socket): Promise<"reset" | "closed"> {
  return new Promise((resolve) => socket.once("close", (hadError) => resolve(hadError ? "reset" : "closed")));
}

test("bytes go both ways, the server may speak first, and each end stays open when the other closes", async (t) => {
  const port = await listen(t, (socket) => {
    socket.write("220 ready\n");
    void textOf(socket).then((text) => socket.end(`got ${text} and the end`));
  });
  const { connect: open, problems } = await way(t, port);
  const client = open();
  const answer = textOf(client);
  client.end("hello");
  assert.equal(await answer, "220 ready\ngot hello and the end");
  assert.equal(await endOf(client), "closed");
  const other = open();
  other.resume();
  other.end();
  assert.equal(await endOf(other), "closed");
  assert.deepEqual(problems, []);
});

test("a reader that stops holds up the writer, and loses nothing", async (t) => {
  const chunk = Buffer.alloc(1 << 16, "x");
  const total = 1024;
  let written = 0;
  const stalled = Promise.withResolvers<void>();
  const port = await listen(t, (socket) => {
    const next = (): void => {
      while (written < total) {
        written += 1;
        if (!socket.write(chunk)) {
          socket.once("drain", next);
          // The kernel's buffers on this way hold some MB; nobody else keeps more.
          setTimeout(() => {
            if (socket.writableNeedDrain) stalled.resolve();
          }, 300);
          return;
        }
      }
      socket.end();
      stalled.resolve();
    };
    next();
  });
  const { connect: open } = await way(t, port);
  const client = open();
  client.pause();
  await stalled.promise;
  assert.ok(written < total / 2, `${written} of ${total} chunks were taken from the writer`);
  let received = 0;
  client.on("data", (bytes: Buffer) => {
    received += bytes.length;
  });
  client.resume();
  await once(client, "end");
  assert.equal(received, total * chunk.length);
});

test("a reset passes through in both directions", async (t) => {
  const arrived = Promise.withResolvers<Socket>();
  const port = await listen(t, (socket) => arrived.resolve(socket));
  const { connect: open } = await way(t, port);
  const client = open();
  const server = await arrived.promise;
  const closed = endOf(client);
  server.resetAndDestroy();
  assert.equal(await closed, "reset");

  const second = Promise.withResolvers<Socket>();
  const otherPort = await listen(t, (socket) => second.resolve(socket));
  const other = (await way(t, otherPort)).connect();
  const otherServer = await second.promise;
  otherServer.resume();
  const otherClosed = endOf(otherServer);
  other.resetAndDestroy();
  assert.equal(await otherClosed, "reset");
});

test("a connection that cannot be made is reset, and the reason is told once", async (t) => {
  const { connect: open, problems } = await way(t, 1);
  for (let i = 0; i < 2; i++) {
    assert.equal(await endOf(open()), "reset");
  }
  assert.deepEqual(problems, [
    "default/web does not reach 169.254.1.1:1: the server refuses (nothing listens on that port)",
  ]);
});

test("connections are bounded for each pod and in all, and one that ends makes room", async (t) => {
  const port = await listen(t, (socket) => socket.end("in"));
  for (const [limits, owner] of [
    [{ total: 10, perPod: 2 }, "it has"],
    [{ total: 2, perPod: 10 }, "all pods have"],
  ] as const) {
    const { connect: open, problems } = await way(t, port, { limits });
    const kept = [open(), open()];
    for (const socket of kept) assert.equal(await textOf(socket), "in");
    assert.equal(await endOf(open()), "reset");
    assert.deepEqual(problems, [
      `default/web does not reach 169.254.1.1:${port}: ${owner} 2 connections to the outside open, the limit`,
    ]);
    for (const socket of kept) {
      socket.end();
      if (!socket.closed) await endOf(socket);
    }
    // The relay learns of the end a moment after the client does.
    for (let answer = ""; answer !== "in"; ) {
      const again = open();
      answer = await Promise.race([textOf(again), endOf(again).then(() => "")]);
    }
  }
});

test("the machine itself, its link, metadata services and the cluster's own addresses are closed", async () => {
  const dial = createDialer({ hostPorts: [5432] });
  for (const address of [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "169.254.169.254",
    "169.254.1.2",
    "100.100.100.200",
    "168.63.129.16",
    "10.244.0.1",
    "10.96.0.1",
    "224.0.0.1",
    "240.240.0.1",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "localhost",
  ]) {
    const result = await dial({ address, port: 5432 });
    assert.match("failure" in result ? result.failure : "connected", /^closed to pods/, address);
  }
});

test("a port of the machine's loopback is reached under its own name when it was asked for", async (t) => {
  const port = await listen(t, (socket) => socket.end("the machine's"));
  const closed = await createDialer({ hostPorts: [port + 1] })({ address: hostAlias, port });
  assert.deepEqual(closed, {
    failure: `port ${port} of this machine is closed to pods; start with --host-port ${port} to open it as host.outrigger.internal:${port}`,
  });
  const open = await createDialer({ hostPorts: [port] })({ address: hostAlias, port });
  assert.ok("socket" in open);
  assert.equal(await textOf(open.socket.resume()), "the machine's");
  open.socket.destroy();
});
