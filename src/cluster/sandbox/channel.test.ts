import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import type { SandboxMessage } from "./messages.ts";

test("a connection that comes before anybody takes connections is kept until somebody does", async (t) => {
  const child = fork(join(import.meta.dirname, "testing/late-entry.ts"));
  t.after(() => child.kill("SIGKILL"));
  const told = (event: string): Promise<void> =>
    new Promise((resolve) => {
      child.on("message", (message: SandboxMessage) => {
        if (message.kind === "event" && message.event === event) resolve();
      });
    });
  const [started, accepted] = [told("started"), told("accepted")];
  child.send({ kind: "start", options: {} });
  await started;
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  child.send({ kind: "listener", target: { namespace: "a", service: "b", port: 80 } }, server);
  server.close();
  const client = connect(port, "127.0.0.1");
  await accepted;
  child.send({ kind: "stop" });
  const [answer] = (await once(client, "data")) as [Buffer];
  assert.equal(answer.toString(), "heard");
  client.destroy();
});
