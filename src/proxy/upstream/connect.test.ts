// One endpoint with several addresses: the first that answers gets the connection.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { EventLoop } from "../transport/event-loop.ts";
import type { SocketFailure } from "../transport/socket-error.ts";
import type { Transport } from "../transport/transport.ts";
import { type ConnectTarget, PendingConnection } from "./connect.ts";

function connectTo(port: number, hosts: readonly [string, ...string[]]): Promise<Transport | SocketFailure> {
  const [host, ...otherHosts] = hosts;
  const target: ConnectTarget = {
    host,
    port,
    otherHosts,
    bindAddress: null,
    prepare: null,
    proxyHeader: null,
    timeoutMs: 5000,
    bufferLimitBytes: 1 << 20,
    tls: null,
  };
  return new Promise((resolve) => {
    new PendingConnection(new EventLoop(), target, { onConnected: resolve, onConnectFailed: resolve });
  });
}

test("an endpoint is reached by another of its addresses when the first does not answer", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const reached = await connectTo(port, ["127.0.0.2", "127.0.0.1"]);
  assert.ok("socket" in reached);
  assert.equal(reached.socket.remoteAddress, "127.0.0.1");
  reached.destroy();
  const refused = await connectTo(port, ["127.0.0.2", "127.0.0.3"]);
  assert.ok("code" in refused);
  assert.equal(refused.code, "ECONNREFUSED");
  server.close();
});
