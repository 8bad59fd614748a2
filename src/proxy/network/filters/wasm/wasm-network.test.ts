// The Wasm network filter in front of a TCP proxy, with a module that AssemblyScript has compiled: it passes whole lines
// of the client in capitals, and puts brackets around what the server says.
import assert from "node:assert/strict";
import { before, type TestContext, test } from "node:test";
import { SecretStore } from "#wire/tls/secrets.ts";
import {
  chain,
  clusterOn,
  dataPath,
  httpServer,
  listenerConfig,
  type TestDataPath,
  tcpFilter,
} from "../../../listener/testing/data-path.ts";
import { RawClient, type RawServer, rawServer } from "../../../listener/testing/raw-peers.ts";
import { until } from "../../../listener/testing/requests.ts";
import { Stats } from "../../../stats/stats.ts";
import { EventLoop } from "../../../transport/event-loop.ts";
import { ClusterManager } from "../../../upstream/cluster-manager.ts";
import { clusterClients } from "../../../wasm/cluster-clients.ts";
import { compilePlugin } from "../../../wasm/testing/compile.ts";
import { pluginConfig } from "../../../wasm/testing/plugin-config.ts";
import { WasmHost } from "../../../wasm/wasm-host.ts";

interface Setting {
  readonly path: TestDataPath;
  readonly logs: string[];
  /** What the server has received over all connections. */
  received(): string;
}

let scripted: Uint8Array;
before(async () => {
  scripted = await compilePlugin("scripted");
});

async function withPlugins(
  t: TestContext,
  plugins: readonly Parameters<typeof pluginConfig>[1][],
  answer: (status: number) => number = () => 200,
): Promise<Setting> {
  let received = "";
  const server: RawServer = await rawServer((socket) => {
    socket.on("data", (data: Buffer) => {
      received += data.toString();
      socket.write(`got ${data.length}`);
    });
    socket.on("end", () => socket.end("bye"));
  });
  const authority = await httpServer((_req, res) => {
    res.statusCode = answer(200);
    res.end();
  });
  const logs: string[] = [];
  const line = (level: string) => (message: string) => void logs.push(`${level} ${message}`);
  const log = { error: line("error"), warn: line("warn"), info: line("info"), debug: line("debug") };
  const loop = new EventLoop({ sweepMs: 20, onBroken: (error) => assert.fail(String(error)) });
  const clusters = new ClusterManager({ loop, secrets: new SecretStore(), log });
  const wasm = new WasmHost({ loop, log, stats: new Stats(), ...clusterClients(clusters, loop) });
  const path = dataPath({ loop, clusters, wasm });
  clusters.update(clusterOn("app", [server.port]));
  clusters.update(clusterOn("authority", [authority.port]));
  const filters = plugins.map((overrides, i) => ({
    ...tcpFilter("app"),
    name: `wasm${i}`,
    type: "wasm",
    settings: pluginConfig(scripted, overrides),
  }));
  await path.listeners.update(listenerConfig([chain([...filters, tcpFilter("app")])]));
  t.after(() => {
    path.stop();
    server.stop();
    authority.stop();
    loop.stop();
  });
  return { path, logs, received: () => received };
}

const configuration = (script: string): { readonly configuration: Buffer } => ({ configuration: Buffer.from(script) });

test("bytes are shown, kept until they are whole, and changed in both directions", async (t) => {
  const { path, logs, received } = await withPlugins(t, [configuration("network lines")]);
  const client = new RawClient(path.port());
  client.socket.write("one");
  client.socket.write(" source");
  await until(() => logs.some((line) => line.includes("source 127.0.0.1:")));
  assert.equal(received(), "");
  client.socket.write(" line\nnext");
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(received(), "");
  client.socket.write(" line\n");
  await client.sees("<got 26>");
  assert.equal(received(), "ONE SOURCE LINE\nNEXT LINE\n");
  client.socket.end("rest");
  await client.sees(/bye>/); // one piece with the answer before it, or one of its own
  await client.isEnded();
  assert.equal(received(), "ONE SOURCE LINE\nNEXT LINE\nRESTEND");
  await until(() => logs.some((line) => line.endsWith("client closed 2")));
  assert.ok(logs.some((line) => line.endsWith("server closed 0")));
});

test("two plugins see the client's bytes in order and the server's in reverse", async (t) => {
  const { path, received } = await withPlugins(t, [
    { name: "a", ...configuration("network lines") },
    { name: "b", ...configuration("network lines") },
  ]);
  const client = new RawClient(path.port());
  client.socket.write("both\n");
  await client.sees("<<got 5>>");
  assert.equal(received(), "BOTH\n");
  client.socket.resetAndDestroy();
});

test("a new connection waits for an answer, and goes on or not", async (t) => {
  let status = 200;
  const { path, received } = await withPlugins(t, [configuration("network ask")], () => status);
  const client = new RawClient(path.port());
  client.socket.write("early\n");
  await client.sees("<got 6>");
  assert.equal(received(), "EARLY\n");
  status = 403;
  const refused = new RawClient(path.port());
  await refused.isEnded();
  assert.equal(refused.text, "");
  await until(() => path.logs.some((entry) => entry["connectionTerminationDetails"] === "wasm_downstream_close"));
  client.socket.resetAndDestroy();
});

test("a plugin closes a connection at once, or later when it has seen its bytes", async (t) => {
  const { path } = await withPlugins(t, [configuration("network lines")]);
  const client = new RawClient(path.port());
  client.socket.write("please close\n");
  await client.isEnded();
  const refusing = await withPlugins(t, [configuration("network refuse")]);
  const refused = new RawClient(refusing.path.port());
  await refused.isEnded();
});

test("a failed plugin closes its connections, or lets them pass with fail_open", async (t) => {
  const closed = await withPlugins(t, [configuration("network lines")]);
  const one = new RawClient(closed.path.port());
  one.socket.write("half of a");
  const two = new RawClient(closed.path.port());
  two.socket.write("trap\n");
  await two.isEnded();
  await one.isEnded();
  const three = new RawClient(closed.path.port());
  await three.isEnded();
  assert.equal(closed.received(), "");
  const open = await withPlugins(t, [{ failurePolicy: "fail_open", ...configuration("network lines") }]);
  const held = new RawClient(open.path.port());
  held.socket.write("half");
  await new Promise((resolve) => setTimeout(resolve, 20));
  const other = new RawClient(open.path.port());
  other.socket.write("trap\n");
  await other.sees("got 5");
  await held.sees("got 4");
  const later = new RawClient(open.path.port());
  later.socket.write("plain");
  await later.sees("got 5");
  assert.equal(open.received().length, "trap\nhalfplain".length);
  assert.ok(["trap\n", "half", "plain"].every((part) => open.received().includes(part)));
  for (const client of [held, other, later]) client.socket.resetAndDestroy();
});

test("more than a plugin may keep ends the connection", async (t) => {
  const { path } = await withPlugins(t, [configuration("network lines")]);
  const client = new RawClient(path.port());
  client.socket.write("x".repeat(1_200_000));
  await client.isEnded();
  await until(() => path.logs.some((entry) => entry["connectionTerminationDetails"] === "wasm_too_much_data"));
});
