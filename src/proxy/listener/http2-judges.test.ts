// The proxy's HTTP/2 before public judges: h2spec, and the tools of nghttp2, curl and node:http2 as peers on both sides,
// in cleartext and over TLS. Those that are not installed are skipped.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { freePort } from "#base/net/testing/free-port.ts";
import { EchoServer } from "#wire/http2/testing/echo-server.ts";
import { listening, missing, programEnvironment } from "#wire/http2/testing/programs.ts";
import type { ClusterConfig } from "../config/cluster.ts";
import type { HttpConnectionManagerConfig } from "../config/http.ts";
import { edgeHttp2 } from "../config/http2.ts";
import { type TestAuthority, testAuthority } from "./testing/certificates.ts";
import {
  chain,
  clusterOn,
  dataPath,
  forward,
  httpFilter,
  httpServer,
  listenerConfig,
  managerConfig,
  routeEntry,
  type TestDataPath,
} from "./testing/data-path.ts";
import { askHttp2 } from "./testing/http2-peers.ts";
import { everyPort, identify, serverTls } from "./testing/sidecar-pair.ts";

let authority: TestAuthority;
before(() => {
  authority = testAuthority();
});
after(() => authority.stop());

async function run(program: string, ...args: readonly string[]): Promise<string> {
  const options = { env: programEnvironment, maxBuffer: 1 << 28, encoding: "latin1" as const };
  return (await promisify(execFile)(program, args, options)).stdout;
}

interface Wish {
  readonly isTls: boolean;
  readonly upstream: ClusterConfig["upstreamProtocol"];
  readonly manager?: Partial<HttpConnectionManagerConfig>;
}

/** An edge's listener in front of a server. */
async function edge(context: TestContext, port: number, { isTls, upstream, manager }: Wish): Promise<TestDataPath> {
  const path = dataPath();
  context.after(() => path.stop());
  identify(path, authority, "server");
  path.clusters.update(clusterOn("app", [port], { upstreamProtocol: upstream }));
  const filters = [httpFilter(managerConfig([routeEntry("/", forward("app"))], { http2: edgeHttp2, ...manager }))];
  const tls = { ...serverTls, validationName: null, requireClientCertificate: false, uriSanMatchers: [] };
  const chains = isTls ? chain(filters, { tls }) : chain(filters);
  await path.listeners.update(listenerConfig([chains], { tlsInspector: everyPort, httpInspector: everyPort }));
  return path;
}

/** Answers with what it is sent, or with some bytes; in both versions. */
async function echo(context: TestContext, version: Wish["upstream"]): Promise<number> {
  if (version === "http2") {
    const server = new EchoServer({ maxConcurrentStreams: 1000 });
    context.after(() => server.close());
    return server.listen();
  }
  const server = await httpServer((req, res) => {
    if (req.method === "GET") res.end("x".repeat(64));
    else req.pipe(res);
  });
  context.after(() => server.stop());
  return server.port;
}

function file(context: TestContext, bytes: Buffer): { readonly folder: string; readonly path: string } {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-judges-"));
  context.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "file");
  writeFileSync(path, bytes);
  return { folder, path };
}

for (const [where, isTls, upstream] of [
  ["in cleartext, in front of an HTTP/1 server", false, "http1"],
  ["in cleartext, in front of an HTTP/2 server", false, "http2"],
  ["over TLS, in front of an HTTP/2 server", true, "http2"],
] as const) {
  test(`h2spec finds nothing ${where}, strict cases included`, { skip: missing("h2spec") }, async (context) => {
    const manager = { codec: isTls ? ("auto" as const) : ("http2" as const) };
    const path = await edge(context, await echo(context, upstream), { isTls, upstream, manager });
    const args = ["-S", "-h", "127.0.0.1", "-p", String(path.port()), "-o", "5", ...(isTls ? ["-t", "-k"] : [])];
    assert.match(await run("h2spec", ...args), / 0 skipped, 0 failed/);
  });
}

test("nghttp gets its padding, trailers and many streams through", { skip: missing("nghttp") }, async (context) => {
  const body = file(context, Buffer.alloc(200_000, "\x01"));
  for (const upstream of ["http1", "http2"] as const) {
    const path = await edge(context, await echo(context, upstream), { isTls: upstream === "http2", upstream });
    const url = `http${upstream === "http2" ? "s" : ""}://127.0.0.1:${path.port()}/`;
    const trailer = upstream === "http2" ? ["--trailer=x-sum: 12"] : [];
    const out = await run("nghttp", "-v", "--padding=200", "-d", body.path, ...trailer, "-m", "20", url);
    assert.equal(out.match(/:status: 200/g)?.length, 20);
    if (upstream === "http2") assert.equal(out.match(/recv \(stream_id=\d+\) x-sum: 12/g)?.length, 20);
    assert.equal(out.split("\x01").length - 1, 20 * 200_000);
    assert.doesNotMatch(out, /recv RST_STREAM|error_code=(?!NO_ERROR)/);
  }
});

for (const isTls of [false, true]) {
  test(`h2load fails no request ${isTls ? "over TLS" : "in cleartext"}, whatever the numbers of connections and streams`, {
    skip: missing("h2load"),
  }, async (context) => {
    for (const upstream of ["http1", "http2"] as const) {
      const path = await edge(context, await echo(context, upstream), { isTls, upstream });
      const url = `http${isTls ? "s" : ""}://127.0.0.1:${path.port()}/`;
      for (const [clients, streams] of [
        [4, 1],
        [4, 100],
        [16, 10],
        [64, 1],
        [64, 100],
      ] as const) {
        const out = await run("h2load", "-n", "1920", "-c", String(clients), "-m", String(streams), url);
        assert.match(out, /1920 succeeded, 0 failed, 0 errored, 0 timeout/);
      }
      const out = await run("h2load", "--h1", "-n", "960", "-c", "16", url);
      assert.match(out, /960 succeeded, 0 failed, 0 errored, 0 timeout/);
    }
  });
}

test("nghttpd serves files and echoes uploads behind us", {
  skip: missing("nghttpd") || missing("curl"),
}, async (context) => {
  const served = file(context, Buffer.alloc(1_000_000, "f"));
  const port = await freePort();
  const server = spawn(
    "nghttpd",
    ["--no-tls", "-d", served.folder, "--echo-upload", "--trailer=x-sum: 9", String(port)],
    {
      stdio: "ignore",
      env: programEnvironment,
    },
  );
  context.after(() => server.kill());
  await listening(port);
  const path = await edge(context, port, { isTls: false, upstream: "http2" });
  const session = connectHttp2(`http://127.0.0.1:${path.port()}`);
  context.after(() => session.destroy());
  const answers = await Promise.all(Array.from({ length: 20 }, () => askHttp2(session, { ":path": "/file" })));
  for (const { status, body, trailers } of answers) {
    assert.deepEqual([status, body.length, trailers["x-sum"]], [200, 1_000_000, "9"]);
  }
  const url = `http://127.0.0.1:${path.port()}/`;
  const big = file(context, Buffer.alloc(3_000_000, "u"));
  for (const version of ["--http1.1", "--http2-prior-knowledge"]) {
    const size = await run(
      "curl",
      "-sS",
      version,
      "--data-binary",
      `@${big.path}`,
      "-o",
      "/dev/null",
      "-w",
      "%{size_download}",
      url,
    );
    assert.equal(size, "3000000");
  }
});

test("curl speaks both versions, in cleartext and over TLS, to servers of both versions", {
  skip: missing("curl"),
}, async (context) => {
  const big = file(context, Buffer.alloc(2_000_000, "c"));
  for (const upstream of ["http1", "http2"] as const) {
    const port = await echo(context, upstream);
    for (const [isTls, version, spoken] of [
      [false, "--http1.1", "1.1"],
      [false, "--http2-prior-knowledge", "2"],
      [true, "--http1.1", "1.1"],
      [true, "--http2", "2"],
    ] as const) {
      const path = await edge(context, port, { isTls, upstream });
      const url = `http${isTls ? "s" : ""}://127.0.0.1:${path.port()}/`;
      const curl = (...args: string[]): Promise<string> => run("curl", "-sSk", "-m", "20", version, ...args, url);
      assert.equal(await curl("-w", " %{http_version} %{http_code}"), `${"x".repeat(64)} ${spoken} 200`);
      // Sent with Expect: 100-continue by HTTP/1.
      const upload = ["-T", big.path, "-o", "/dev/null", "-w", "%{size_download} %{http_code}"];
      assert.equal(await curl(...upload, "-X", "POST"), "2000000 200");
      assert.match(await curl("-I"), /^HTTP\/[12](\.1)? 200/);
    }
  }
});

test("node:http2 sends and gets megabytes at once through both versions", async (context) => {
  for (const upstream of ["http1", "http2"] as const) {
    const path = await edge(context, await echo(context, upstream), { isTls: false, upstream });
    const session = connectHttp2(`http://127.0.0.1:${path.port()}`, { maxSessionMemory: 100 });
    context.after(() => session.destroy());
    const bodies = Array.from({ length: 8 }, (_, i) => Buffer.alloc(1 + i * 450_000, String.fromCharCode(97 + i)));
    const answers = await Promise.all(bodies.map((body) => askHttp2(session, { ":method": "POST" }, body)));
    answers.forEach(({ body }, i) => assert.ok(Buffer.from(body).equals(bodies[i]!), `${upstream} ${i}`));
  }
});
