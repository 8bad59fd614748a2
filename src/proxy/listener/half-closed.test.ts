// HTTP/1 clients that end their side of the connection (FIN) and wait for the answer, beside clients that are gone. The
// first are served, as RFC 9112 9.6 has it; Envoy takes every end for the client's leaving. For the others the request
// ends at its server as soon as anything says that they are gone: a reset, or a write that fails. Clients that say nothing
// but the end of their side are asked, with an informational response.
import assert from "node:assert/strict";
import { after, before, type TestContext, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { plainDownstreamTls } from "../config/tls.ts";
import { type TestAuthority, testAuthority } from "./testing/certificates.ts";
import {
  chain,
  clusterOn,
  dataPath,
  forward,
  httpFilter,
  listenerConfig,
  managerConfig,
  routeEntry,
  type TestDataPath,
} from "./testing/data-path.ts";
import { RawClient, type RawServer, rawServer } from "./testing/raw-peers.ts";
import { until } from "./testing/requests.ts";

let authority: TestAuthority;
before(() => {
  authority = testAuthority();
});
after(() => authority.stop());

const tls = { ...plainDownstreamTls, alpnProtocols: ["http/1.1"], certificateNames: ["default"] };

interface Served {
  readonly path: TestDataPath;
  readonly server: RawServer & { readonly received: () => string };
  client(): RawClient;
}

/** `/never` is not answered, `/stream` is answered without end, all else with its own first line. */
async function served(context: TestContext, isTls = false): Promise<Served> {
  let received = "";
  const server = await rawServer((socket) => {
    socket.on("data", (data) => {
      const text = data.toString("latin1");
      received += text;
      for (const [line] of text.matchAll(/^[A-Z]+ \/\S* HTTP/gm)) {
        if (line.includes("/never")) continue;
        if (line.includes("/stream")) {
          socket.write("HTTP/1.1 200 OK\r\n\r\n");
          const timer = setInterval(() => socket.write("more"), 5);
          socket.on("close", () => clearInterval(timer));
        } else {
          socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${line.length}\r\n\r\n${line}`);
        }
      }
    });
    socket.on("end", () => socket.end());
  });
  context.after(() => server.stop());
  const path = dataPath();
  context.after(() => path.stop());
  path.secrets.setCertificate("default", authority.issue("spiffe://cluster.local/ns/default/sa/server"));
  path.clusters.update(clusterOn("app", [server.port]));
  const config = managerConfig([routeEntry("/", forward("app"))]);
  await path.listeners.update(listenerConfig([chain([httpFilter(config)], isTls ? { tls } : {})]));
  const client = (): RawClient => {
    const made = new RawClient(path.port());
    context.after(() => made.socket.destroy());
    return made;
  };
  return { path, server: { ...server, received: () => received }, client };
}

const get = (target: string): string => `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`;
const chunkedPost = "POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

const complete: Readonly<Record<string, readonly [bytes: string, answers: RegExp]>> = {
  "a request": [get("/one"), /GET \/one HTTP$/],
  "a request with a body": [`${chunkedPost}5\r\nhello\r\n0\r\n\r\n`, /POST \/body HTTP$/],
  "a request of HTTP/1.0": ["GET /old HTTP/1.0\r\n\r\n", /GET \/old HTTP$/],
  "pipelined requests": [get("/one") + get("/two") + get("/three"), /\/one HTTP[^]*\/two HTTP[^]*\/three HTTP$/],
  "half of a second request": [`${get("/one")}GET /tw`, /GET \/one HTTP$/],
};

for (const [what, [bytes, answers]] of Object.entries(complete)) {
  test(`RFC 9112 9.6 a client that ends its side after ${what} gets its answer, and then the connection ends`, async (context) => {
    const { path, client } = await served(context);
    const waiting = client();
    waiting.send(bytes);
    waiting.socket.end();
    await waiting.isEnded();
    assert.match(waiting.text, answers);
    assert.doesNotMatch(waiting.text, /100 Continue/);
    assert.equal(waiting.error, undefined);
    await until(() => path.listeners.connectionCount === 0);
  });
}

test("RFC 9112 9.6 over TLS a close_notify ends one side only, too", async (context) => {
  const { path } = await served(context, true);
  const options = { rejectUnauthorized: false, allowHalfOpen: true };
  const socket = connectTls(path.port(), "127.0.0.1", options);
  context.after(() => socket.destroy());
  let text = "";
  let ended = false;
  socket.on("data", (data) => (text += data.toString("latin1")));
  socket.on("end", () => (ended = true));
  socket.on("error", () => {});
  socket.end(get("/one"));
  await until(() => ended);
  assert.match(text, /GET \/one HTTP$/);
});

for (const [where, bytes] of [
  ["its body", "POST /never HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"],
  ["the body's length", "POST /never HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nhello"],
] as const) {
  test(`a client that ends its side inside ${where} is gone, and its request ends at the server at once`, async (context) => {
    const { path, server, client } = await served(context);
    const gone = client();
    gone.send(bytes);
    await until(() => server.received().includes("hel"));
    gone.socket.end();
    await until(() => server.sockets.size === 0);
    await until(() => path.listeners.connectionCount === 0);
    assert.equal(path.logs[0]?.["responseFlags"], "DC");
  });
}

test("a client that resets the connection is gone, and its request ends at the server at once", async (context) => {
  const { path, server, client } = await served(context);
  const gone = client();
  gone.send(get("/never"));
  await until(() => server.received().includes("/never"));
  gone.socket.resetAndDestroy();
  await until(() => server.sockets.size === 0);
  await until(() => path.logs.length === 1);
  assert.equal(path.logs[0]?.["responseFlags"], "DC");
  assert.equal(path.logs[0]?.["responseCodeDetails"], "downstream_remote_disconnect");
});

test("a client that closes while it waits is gone soon, because it is asked whether it is there", async (context) => {
  const { path, server, client } = await served(context);
  const gone = client();
  gone.send(get("/never"));
  await until(() => server.received().includes("/never"));
  // Nothing unread is left, so this is an end and no reset.
  gone.socket.destroy();
  await until(() => server.sockets.size === 0);
  await until(() => path.logs.length === 1);
  assert.equal(path.logs[0]?.["responseFlags"], "DC");
});

test("RFC 9110 15.2 a client that waits long is asked twice at most, one that is answered soon or of HTTP/1.0 never", async (context) => {
  const { path, server, client } = await served(context);
  const [waiting, old] = [client(), client()];
  waiting.send(get("/never"));
  old.send("GET /never-old HTTP/1.0\r\n\r\n");
  for (const each of [waiting, old]) each.socket.end();
  await until(() => server.received().includes("/never-old"));
  await until(() => waiting.text.split("100 Continue").length === 3);
  // Some sweeps later it is still so, and both are waited for.
  const { now } = path.loop;
  await until(() => path.loop.now > now + 100);
  assert.equal(waiting.text, "HTTP/1.1 100 Continue\r\n\r\n".repeat(2));
  assert.equal(old.text, "");
  assert.equal(path.listeners.connectionCount, 2);
});

test("a client that ended its side and then closed is gone with the first write that fails", async (context) => {
  const { path, server, client } = await served(context);
  const gone = client();
  gone.send(get("/stream"));
  await gone.sees("more");
  gone.socket.end();
  // What comes after the end of its side shows that it still reads.
  const { length } = gone.text;
  await until(() => gone.text.length > length + 8);
  assert.equal(server.sockets.size, 1);
  gone.socket.destroy();
  await until(() => server.sockets.size === 0);
  await until(() => path.logs.length === 1);
  assert.equal(path.logs[0]?.["responseFlags"], "DC");
});
