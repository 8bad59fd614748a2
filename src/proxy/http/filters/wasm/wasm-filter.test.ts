// The Wasm filter on the real data path, with modules that AssemblyScript has compiled. The plugin does what the header
// `x-do` says, see wasm/testing/plugins/scripted.as.
import assert from "node:assert/strict";
import { type IncomingMessage, request } from "node:http";
import { connect } from "node:http2";
import { after, before, describe, test } from "node:test";
import {
  Server as GrpcServer,
  status as grpcStatus,
  Metadata,
  type MethodDefinition,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { SecretStore } from "#wire/tls/secrets.ts";
import type { HttpFilterConfig } from "../../../config/http.ts";
import {
  chain,
  clusterOn,
  dataPath,
  filterConfig,
  forward,
  httpFilter,
  httpServer,
  listenerConfig,
  managerConfig,
  routeEntry,
  type TestDataPath,
} from "../../../listener/testing/data-path.ts";
import { type Answer, ask, until } from "../../../listener/testing/requests.ts";
import type { HistogramValue } from "../../../stats/histogram.ts";
import { Stats } from "../../../stats/stats.ts";
import { EventLoop } from "../../../transport/event-loop.ts";
import { ClusterManager } from "../../../upstream/cluster-manager.ts";
import { clusterClients } from "../../../wasm/cluster-clients.ts";
import type { WasmLimits } from "../../../wasm/limits.ts";
import { compilePlugin } from "../../../wasm/testing/compile.ts";
import { pluginConfig } from "../../../wasm/testing/plugin-config.ts";
import { WasmHost, type WasmHostOptions } from "../../../wasm/wasm-host.ts";

interface Seen {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly headers: IncomingMessage["headers"];
  readonly trailers: IncomingMessage["trailers"];
  readonly body: string;
}

interface Setting {
  readonly path: TestDataPath;
  readonly seen: Seen[];
  readonly logs: string[];
  readonly stats: Stats;
  /** The value of a statistic. */
  stat(name: string): number | undefined;
  histogram(name: string): HistogramValue | null | undefined;
  stop(): void;
}

type Overrides = Parameters<typeof pluginConfig>[1];

let scripted: Uint8Array;
before(async () => {
  scripted = await compilePlugin("scripted");
});

/** A data path with plugins in front of an application that answers `app` and tells what it saw. */
async function withPlugins(plugins: readonly Overrides[], options: Partial<WasmHostOptions> = {}): Promise<Setting> {
  const seen: Seen[] = [];
  const server = await httpServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on("data", (chunk: Buffer) => void chunks.push(chunk));
    req.on("end", () => {
      const { method, url, headers, trailers } = req;
      seen.push({ method, url, headers, trailers, body: Buffer.concat(chunks).toString() });
      if (url === "/parts") {
        res.write("one ");
        setImmediate(() => {
          res.write("two ");
          setImmediate(() => res.end("three"));
        });
      } else if (url === "/trailers") {
        res.writeHead(200, { trailer: "x-end" });
        res.write("app");
        res.addTrailers({ "x-end": "yes" });
        res.end();
      } else {
        res.setHeader("x-app", "yes");
        res.end("app");
      }
    });
  });
  const authority = await httpServer((req, res) => {
    req.resume();
    req.on("end", () => {
      res.statusCode = req.url === "/deny" ? 403 : 200;
      if (req.url === "/hang") return;
      res.end(`asked ${req.method} ${req.headers["x-call"]} by ${req.headers.host}`);
    });
  });
  const service = await grpcService();
  const logs: string[] = [];
  const line = (level: string) => (message: string) => void logs.push(`${level} ${message}`);
  const log = { error: line("error"), warn: line("warn"), info: line("info"), debug: line("debug") };
  const stats = new Stats();
  const broken: unknown[] = [];
  const loop = new EventLoop({ sweepMs: 20, onBroken: (error) => void broken.push(error) });
  const secrets = new SecretStore();
  const clusters = new ClusterManager({ loop, secrets, log });
  const wasm = new WasmHost({ loop, log, stats, ...clusterClients(clusters, loop), ...options });
  const path = dataPath({ loop, clusters, wasm });
  path.clusters.update(clusterOn("app", [server.port]));
  path.clusters.update(clusterOn("authority", [authority.port]));
  path.clusters.update(clusterOn("nobody", [1]));
  path.clusters.update(clusterOn("service", [service.port], { upstreamProtocol: "http2" }));
  const httpFilters: HttpFilterConfig[] = [
    ...plugins.map((overrides, i) => filterConfig("wasm", pluginConfig(scripted, overrides), { name: `wasm${i}` })),
    filterConfig("router", {}),
  ];
  const manager = managerConfig(
    [
      routeEntry("/", forward("authority"), {
        name: "other",
        match: {
          path: { type: "prefix", value: "/other", caseSensitive: true },
          headers: [],
          queryParameters: [],
          metadata: [],
          clientCertificate: null,
          fraction: null,
          description: "",
        },
      }),
      routeEntry("/", forward("app"), { name: "main" }),
    ],
    { httpFilters },
  );
  await path.listeners.update(listenerConfig([chain([httpFilter(manager)])]));
  return {
    path,
    seen,
    logs,
    stats,
    stat: (name) => stats.values().find((it) => it.name === name)?.value,
    histogram: (name) => stats.values().find((it) => it.name === name)?.histogram,
    stop: () => {
      path.stop();
      server.stop();
      authority.stop();
      service.stop();
      loop.stop();
      if (broken.length > 0) throw broken[0];
    },
  };
}

/** A service of the grpc-js library: echoes messages in capitals, or fails, as the method says. */
async function grpcService(): Promise<{ readonly port: number; readonly stop: () => void }> {
  const bytes = (value: Buffer): Buffer => value;
  const method = (name: string, isStream: boolean): MethodDefinition<Buffer, Buffer> => ({
    path: `/test.Service/${name}`,
    requestStream: isStream,
    responseStream: isStream,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  });
  const server = new GrpcServer();
  const answer = (message: Buffer, meta: unknown): Buffer =>
    Buffer.from(`${message.toString()} ${meta === undefined ? "" : String(meta)}`.toUpperCase());
  server.addService(
    {
      Ask: method("Ask", false),
      Refuse: method("Refuse", false),
      Hang: method("Hang", false),
      Chat: method("Chat", true),
    },
    {
      Ask: (call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) =>
        done(null, answer(call.request, call.metadata.get("x-meta")[0])),
      Refuse: (_call: unknown, done: sendUnaryData<Buffer>) =>
        done({ code: grpcStatus.PERMISSION_DENIED, details: "not you" }),
      Hang: () => {},
      Chat: (call: ServerDuplexStream<Buffer, Buffer>) => {
        const begin = new Metadata();
        begin.set("x-begin", "first");
        call.sendMetadata(begin);
        call.on("data", (message: Buffer) => call.write(answer(message, undefined)));
        call.on("end", () => {
          const end = new Metadata();
          end.set("x-end", "last");
          call.end(end);
        });
        call.on("error", () => {});
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { port, stop: () => server.forceShutdown() };
}

/** One request that runs commands. */
function run(setting: Setting, commands: string, target = "/", body?: string): Promise<Answer> {
  return ask(
    setting.path,
    target,
    { method: body === undefined ? "GET" : "POST", headers: { "x-do": commands } },
    body,
  );
}

/** What the application saw under `x-got-<name>`. */
async function got(setting: Setting, commands: string, name: string, target = "/"): Promise<string | undefined> {
  await run(setting, commands, target);
  const value = setting.seen.at(-1)?.headers[`x-got-${name}`];
  return Array.isArray(value) ? value.join() : value;
}

describe("a plugin", () => {
  let setting: Setting;
  before(async () => {
    setting = await withPlugins([{}]);
  });
  after(() => setting.stop());

  test("sees how many headers there are and whether the request ends with them", async () => {
    assert.match((await got(setting, "log 2 hello", "headers")) ?? "", /^\d+ end$/);
    await run(setting, "log 2 hello", "/", "body");
    assert.match(String(setting.seen.at(-1)?.headers["x-got-headers"]), /^\d+$/);
  });

  test("adds, sets, reads and removes request headers, pseudo headers among them", async () => {
    await run(setting, "add x-a 1;add x-a 2;set x-b 3;remove user-agent;set :path /changed;set :authority new.test");
    const { url, headers } = setting.seen.at(-1)!;
    assert.equal(url, "/changed");
    assert.equal(headers["x-a"], "1, 2");
    assert.equal(headers["x-b"], "3");
    assert.equal(headers.host, "new.test");
    assert.equal(headers["user-agent"], undefined);
    assert.equal(await got(setting, "add x-a 1;add x-a 2;get x-a", "value"), "1");
    assert.equal(await got(setting, "get :method", "value"), "GET");
    assert.equal(await got(setting, "get x-none", "value"), "status 1");
    assert.match(
      (await got(setting, "list", "list")) ?? "",
      /^:authority=127\.0\.0\.1:\d+;:path=\/;:method=GET;:scheme=http;/,
    );
    const answer = await run(setting, "on-response size,list");
    const list = String(answer.headers["x-got-list"])
      .split(";")
      .filter((line) => !line.startsWith("x-got-size"));
    assert.ok(list.includes(":status=200") && list.includes("x-app=yes"));
    assert.equal(Number(answer.headers["x-got-size"]), list.join("").replaceAll("=", "").length);
  });

  test("replaces all request headers at once", async () => {
    await run(setting, "replace-all");
    const { url, headers } = setting.seen.at(-1)!;
    assert.equal(url, "/replaced");
    assert.equal(headers.host, "replaced");
    assert.equal(headers["x-new"], "yes");
    assert.equal(headers["x-do"], undefined);
  });

  test("can't write lines or framing of its own", async () => {
    assert.equal(await got(setting, "set-lines x-evil", "lines"), "2");
    await run(setting, "add transfer-encoding chunked;add connection close;set content-length many;set :path no-slash");
    const { headers, url } = setting.seen.at(-1)!;
    assert.equal(headers["transfer-encoding"], undefined);
    assert.notEqual(headers.connection, "close");
    assert.equal(headers["content-length"], undefined);
    assert.equal(url, "/");
  });

  test("changes where the request goes by changing its path", async () => {
    const answer = await run(setting, "set :path /other/x");
    assert.match(answer.body, /^asked GET/);
  });

  test("changes status and headers of the response", async () => {
    const answer = await run(setting, "on-response set :status 418,set x-extra yes,remove x-app,get :status");
    assert.equal(answer.status, 418);
    assert.equal(answer.headers["x-extra"], "yes");
    assert.equal(answer.headers["x-app"], undefined);
    assert.equal(answer.headers["x-got-value"], "418");
    assert.equal(answer.body, "app");
  });

  test("can't reach the request's headers once they are gone", async () => {
    const answer = await run(setting, "on-response get-other :path");
    assert.equal(answer.headers["x-got-value"], "status 2");
  });

  test("answers by itself, with headers, details and the body", async () => {
    const before = setting.seen.length;
    const answer = await run(setting, "reply 401");
    assert.equal(answer.status, 401);
    assert.equal(answer.body, "by plugin\n");
    assert.equal(answer.headers["x-by"], "plugin");
    assert.equal(answer.headers["content-type"], "text/plain");
    assert.equal(setting.seen.length, before);
    await until(() => setting.path.logs.at(-1)?.["responseCode"] === 401);
    assert.equal(setting.path.logs.at(-1)?.["responseCodeDetails"], "from_plugin");
    assert.equal(setting.path.logs.at(-1)?.["cause"], 'the wasm plugin "test" answered');
  });

  test("answers in place of a response that it was shown", async () => {
    const answer = await run(setting, "on-response reply 502");
    assert.equal(answer.status, 502);
    assert.equal(answer.body, "by plugin\n");
    assert.equal(answer.headers["x-app"], undefined);
  });

  test("answers a gRPC request with a status of its own", async () => {
    const answer = await ask(setting.path, "/", {
      method: "POST",
      headers: { "x-do": "reply-grpc", "content-type": "application/grpc" },
    });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers["grpc-status"], "16");
    assert.equal(answer.headers["grpc-message"], "not for you");
  });

  test("sees its own answer as a response", async () => {
    const answer = await run(setting, "on-response set x-extra yes;reply 401");
    assert.equal(answer.status, 401);
    assert.equal(answer.headers["x-extra"], "yes");
  });

  test("closes the stream", async () => {
    await assert.rejects(run(setting, "close"), /hang up|ECONNRESET/);
    await until(() => setting.path.logs.at(-1)?.["responseCodeDetails"] === "wasm_stream_closed");
  });

  test("reads a request body whole, changes it, and its length is right", async () => {
    await run(setting, "remove content-length;on-body replace", "/", "hello");
    assert.equal(setting.seen.at(-1)?.body, "<hello>");
    assert.equal(setting.seen.at(-1)?.headers["content-length"], undefined);
    await run(setting, "on-body upper", "/", "hello");
    assert.equal(setting.seen.at(-1)?.body, "HELLO");
    assert.equal(setting.seen.at(-1)?.headers["content-length"], "5");
  });

  test("may not send a longer body than the head has announced", async () => {
    const before = setting.seen.length;
    const answer = await run(setting, "on-body replace", "/", "hello");
    assert.equal(answer.status, 500);
    assert.equal(setting.seen.length, before);
    await until(() => setting.path.logs.at(-1)?.["responseCodeDetails"] === "wasm_body_length_mismatch");
  });

  test("keeps a body back or throws it away", async () => {
    await run(setting, "remove content-length;on-body append", "/", "hello");
    assert.equal(setting.seen.at(-1)?.body, "hello!");
    await run(setting, "on-body watermark", "/", "hello");
    assert.equal(setting.seen.at(-1)?.body, "hello");
    await run(setting, "remove content-length;on-body drop", "/", "hello");
    assert.equal(setting.seen.at(-1)?.body, "");
  });

  test("answers from the body", async () => {
    const answer = await run(setting, "on-body reply", "/", "hello");
    assert.equal(answer.status, 400);
    assert.equal(answer.body, "bad body\n");
  });

  test("keeps no more of a body than the limit", async () => {
    const answer = await run(setting, "on-body buffer", "/", "x".repeat(1_100_000));
    assert.equal(answer.status, 413);
    await until(() => setting.path.logs.at(-1)?.["responseCodeDetails"] === "request_payload_too_large");
  });

  test("reads a response body of several parts whole and changes it", async () => {
    const answer = await run(setting, "on-response-body replace", "/parts");
    assert.equal(answer.body, "<one two three>");
    const upper = await run(setting, "on-response-body upper", "/parts");
    assert.equal(upper.body, "ONE TWO THREE");
    const shorter = await run(setting, "on-response remove content-length;on-response-body append");
    assert.equal(shorter.body, "app!");
  });

  test("sees and changes trailers in both directions", async () => {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const sent = request({
        port: setting.path.port(),
        path: "/trailers",
        method: "POST",
        headers: { trailer: "x-sum" },
      });
      sent.on("response", resolve).on("error", reject);
      sent.write("body");
      sent.addTrailers({ "x-sum": "1" });
      sent.end();
    });
    await response.toArray();
    assert.deepEqual(response.trailers, { "x-end": "yes", "x-got-trailers": "1" });
    assert.deepEqual(setting.seen.at(-1)?.trailers, { "x-sum": "1", "x-got-trailers": "1" });
  });

  test("sees the end of a body by itself, and may put trailers behind it", async () => {
    await run(setting, "remove content-length;on-body trailers", "/", "abc");
    assert.ok(setting.logs.some((line) => line.endsWith("body 3")));
    assert.ok(setting.logs.some((line) => line.endsWith("body 0 end")));
    assert.deepEqual(setting.seen.at(-1)?.trailers, { "x-late": "yes" });
  });

  test("calls another service and goes on when the answer is there", async () => {
    assert.equal(await got(setting, "call authority /ask", "answer"), "200 asked POST 1 by authority.test");
  });

  test("calls another service and answers itself when that says no", async () => {
    const answer = await run(setting, "call authority /deny");
    assert.equal(answer.status, 403);
    assert.equal(answer.body, "no\n");
    assert.equal(answer.headers["x-denied"], "yes");
    await until(() => setting.path.logs.at(-1)?.["responseCodeDetails"] === "denied_by_authority");
  });

  test("is told when a call fails, and at once when it can't be made", async () => {
    assert.equal(await got(setting, "call nobody /", "answer"), "11 reset");
    assert.equal(await got(setting, "call missing /", "call"), "status 2");
    assert.equal(await got(setting, "call-incomplete authority", "call"), "status 2");
  });

  test("makes gRPC calls and hears their message or their status", async () => {
    assert.equal(await got(setting, "grpc service Ask", "answer"), "QUESTION DATA");
    assert.equal(await got(setting, "grpc service Refuse", "answer"), "status 7");
    assert.ok(setting.logs.some((line) => line.endsWith("grpc closed 7 7 not you")));
    assert.equal(await got(setting, "grpc service Missing", "answer"), "status 12");
    assert.equal(await got(setting, "grpc service Hang", "answer"), "status 4");
    assert.equal(await got(setting, "grpc nobody Ask", "answer"), "status 14");
    assert.equal(await got(setting, "grpc missing Ask", "grpc"), "status 4");
  });

  test("holds gRPC streams with many messages in both directions", async () => {
    const lines = (): string[] => setting.logs.filter((line) => line.includes("grpc ")).map((line) => line.slice(28));
    const before = lines().length;
    await run(setting, "grpc-stream service Chat;grpc-send one;grpc-send two");
    await until(() => lines().length === before + 3);
    await run(setting, "grpc-send three last");
    await until(() => lines().length === before + 6);
    assert.deepEqual(lines().slice(before), [
      "grpc begins first",
      "grpc message ONE ",
      "grpc message TWO ",
      "grpc message THREE ",
      "grpc ends last",
      "grpc closed 0 0 OK",
    ]);
    assert.equal(await got(setting, "grpc-send late", "grpc"), "1");
    await run(setting, "grpc-stream service Chat;grpc-send one");
    await until(() => lines().length === before + 8);
    assert.equal(await got(setting, "grpc-cancel", "grpc"), "0");
    assert.equal(await got(setting, "grpc-cancel", "grpc"), "1");
    assert.equal(lines().length, before + 8);
  });

  test("keeps the request's body while it waits for an answer", async () => {
    await run(setting, "call authority /ask;on-body upper", "/", "body");
    assert.equal(setting.seen.at(-1)?.body, "body");
    await run(setting, "on-body upper;call authority /ask", "/", "body");
    assert.equal(setting.seen.at(-1)?.body, "BODY");
    assert.equal(setting.seen.at(-1)?.headers["x-got-answer"], "200 asked POST 1 by authority.test");
  });

  test("shares values between streams, with compare and swap", async () => {
    assert.equal(await got(setting, "count shared", "count"), "1 0");
    assert.equal(await got(setting, "count shared", "count"), "2 0");
    assert.equal(await got(setting, "cas", "cas"), "0 8 two");
  });

  test("has counters, gauges and histograms that the proxy shows", async () => {
    assert.equal(await got(setting, "metric 0 requests", "metric"), "0 2 5");
    assert.equal(await got(setting, "metric 1 level", "metric"), "0 0 3");
    assert.equal(await got(setting, "record 2 sizes", "record"), "-1");
    assert.equal(await got(setting, "record 0 records", "record"), "16");
    assert.equal(setting.stat("wasmcustom.requests"), 5);
    assert.equal(setting.stat("wasmcustom.level"), 3);
    assert.equal(setting.stat("wasmcustom.sizes"), 2);
    assert.equal(setting.histogram("wasmcustom.sizes")?.sum, 16);
  });

  test("ticks until it has enough", async () => {
    await run(setting, "tick 1 ticks");
    await until(() => setting.stat("wasmcustom.ticks") === 3);
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(setting.stat("wasmcustom.ticks"), 3);
  });

  test("is told of what is put into its queue", async () => {
    assert.equal(await got(setting, "enqueue vm jobs", "enqueue"), "not found");
    const token = await got(setting, "queue jobs", "queue");
    assert.equal(await got(setting, `dequeue ${token}`, "dequeue"), "status 7");
    assert.equal(await got(setting, "dequeue 99", "dequeue"), "status 1");
    assert.equal(await got(setting, "enqueue vm jobs", "enqueue"), "0");
    await until(() => setting.logs.some((line) => line.endsWith("queue item")));
  });

  test("reads properties of the stream in Envoy's form", async () => {
    const text = (path: string): Promise<string | undefined> =>
      got(setting, `text-property ${path}`, "property", "/p?q=1");
    assert.equal(await text("request.path"), "/p?q=1");
    assert.equal(await text("request.url_path"), "/p");
    assert.equal(await text("request.query"), "q=1");
    assert.equal(await text("request.method"), "GET");
    assert.equal(await text("request.scheme"), "http");
    assert.equal(await text("request.protocol"), "HTTP/1.1");
    assert.equal(await text("request.headers.x-do"), "text-property request.headers.x-do");
    assert.match((await text("source.address")) ?? "", /^127\.0\.0\.1:\d+$/);
    assert.equal(await text("plugin_name"), "test");
    assert.equal(await text("plugin_root_id"), "root");
    assert.equal(await text("plugin_vm_id"), "vm");
    assert.equal(await text("route_name"), "main");
    assert.equal(await text("xds.route_name"), "main");
    assert.equal(await text("xds.virtual_host_name"), "all");
    assert.equal(await text("cluster_name"), "app");
    assert.equal(await text("nothing"), "status 1");
    assert.equal(await text("request.nothing"), "status 1");
    assert.equal(await text("response.code"), "status 1");
    assert.equal(await got(setting, "property connection.mtls", "property"), "00");
    assert.equal(await got(setting, "property listener_direction", "property"), "0100000000000000");
    const port = setting.path.port();
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(port));
    assert.equal(await got(setting, "property destination.port", "property"), bytes.toString("hex"));
  });

  test("reads properties of the response", async () => {
    const answer = await run(setting, "on-response property response.code");
    assert.equal(answer.headers["x-got-property"], "c800000000000000");
    const upstream = await run(setting, "on-response text-property upstream.address");
    assert.match(String(upstream.headers["x-got-property"]), /^127\.0\.0\.1:\d+$/);
    const app = await run(setting, "on-response text-property response.headers.x-app");
    assert.equal(app.headers["x-got-property"], "yes");
  });

  test("keeps properties of its own with the stream", async () => {
    const answer = await run(setting, "set-property mine 42;on-response text-property mine");
    assert.equal(setting.seen.at(-1)?.headers["x-got-set-property"], "0");
    assert.equal(answer.headers["x-got-property"], "42");
    assert.equal(await got(setting, "text-property mine", "property"), "status 1");
  });

  test("has time, randomness and output, and no files", async () => {
    assert.equal(await got(setting, "random", "random"), "yes");
    const [time = "", monotonic, unknown] = ((await got(setting, "clock", "clock")) ?? "").split(" ");
    assert.ok(Math.abs(Number(time) - Date.now()) < 60_000);
    assert.equal(monotonic, "1");
    assert.equal(unknown, "0");
    assert.equal(await got(setting, "write 1 out", "write"), "0");
    assert.ok(setting.logs.includes("info wasm log test root vm: out"));
    assert.equal(await got(setting, "write 2 err", "write"), "0");
    assert.ok(setting.logs.includes("error wasm log test root vm: err"));
    assert.equal(await got(setting, "write 3 file", "write"), "8");
  });

  test("logs at the levels of the ABI", async () => {
    assert.equal(
      await got(setting, "log 0 trace;log 1 debug;log 2 info;log 3 warn;log 4 error;log 5 critical", "log"),
      "0",
    );
    const levels = setting.logs.filter((line) => / (trace|debug|info|warn|error|critical)$/.test(line));
    assert.deepEqual(
      levels.map((line) => `${line.split(" ")[0]} ${line.split(" ").at(-1)}`),
      ["debug trace", "debug debug", "info info", "warn warn", "error error", "error critical"],
    );
    assert.equal(await got(setting, "log 6 none", "log"), "2");
  });

  test("has no other buffers, contexts and functions than there are", async () => {
    assert.equal(await got(setting, "buffer 0", "buffer"), "none");
    assert.equal(await got(setting, "buffer 7", "buffer"), "none");
    assert.equal(await got(setting, "effective 9999", "effective"), "2");
    assert.equal(await got(setting, "foreign sign", "foreign"), "1");
    assert.equal(await got(setting, "foreign clear_route_cache", "foreign"), "0");
    assert.equal(await got(setting, "finish", "finish"), "1");
  });

  test("logs a stream when it is over, with its heads", async () => {
    await run(setting, "on-log", "/logged");
    await until(() => setting.logs.some((line) => line.endsWith("logged /logged 200")));
  });

  test("may ask for time at the end of a stream, and still sees its heads then", async () => {
    await run(setting, "on-log later", "/later");
    await run(setting, "log 2 between", "/between");
    assert.ok(!setting.logs.some((line) => line.includes("logged /later")));
    await run(setting, "finish-later", "/finish");
    assert.ok(setting.logs.some((line) => line.endsWith("logged /later 200")));
  });

  test("grows its memory up to the limit and no further", async () => {
    const pages = Number(await got(setting, "grow 1", "grow"));
    assert.ok(pages > 0);
    assert.equal(await got(setting, "grow 4096", "grow"), "-1");
  });
});

describe("a failing plugin", () => {
  const limits: Partial<WasmLimits> = { maxCallMs: 30 };

  for (const [what, command, words] of [
    ["a trap", "trap", /the module trapped: unreachable/],
    ["an endless loop", "loop", /a call lasted longer than 30 ms/],
    ["an endless recursion", "recurse", /call stack/],
    ["an exit", "exit", /exited with code 3/],
  ] as const) {
    test(`${what} ends the stream with 503, and later ones too`, async () => {
      const setting = await withPlugins([{}], { limits });
      assert.equal((await run(setting, "log 2 fine")).status, 200);
      const answer = await run(setting, command);
      assert.equal(answer.status, 503);
      await until(() => setting.path.logs.length === 2);
      assert.equal(setting.path.logs[1]?.["responseCodeDetails"], "wasm_fail_stream");
      assert.match(String(setting.path.logs[1]?.["cause"]), words);
      assert.equal((await run(setting, "log 2 fine")).status, 503);
      assert.ok(setting.logs.some((line) => line.startsWith('error the wasm plugin "test" can\'t be used: ')));
      setting.stop();
    });
  }

  test("ends the streams that wait for it", async () => {
    const setting = await withPlugins([{}]);
    const waiting = run(setting, "call authority /hang");
    await until(() => setting.path.loop.now > 0 && setting.stat("wasm.envoy.wasm.runtime.v8.active") === 1);
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.equal((await run(setting, "trap")).status, 503);
    assert.equal((await waiting).status, 503);
    setting.stop();
  });

  test("in a response: 503 in its place, and a cut where it has begun", async () => {
    const setting = await withPlugins([{ failurePolicy: "fail_reload", reloadMs: 1 }]);
    assert.equal((await run(setting, "on-response trap")).status, 503);
    await new Promise((resolve) => setTimeout(resolve, 10));
    await assert.rejects(run(setting, "on-response-body trap", "/parts"), /aborted|hang up|ECONNRESET/);
    setting.stop();
  });

  test("with fail_open goes on as if there was none", async () => {
    const setting = await withPlugins([{ failurePolicy: "fail_open" }]);
    assert.equal((await run(setting, "on-body trap", "/", "body")).status, 200);
    assert.equal(setting.seen.at(-1)?.body, "body");
    const answer = await run(setting, "reply 401", "/", "more");
    assert.equal(answer.status, 200);
    assert.equal(setting.seen.at(-1)?.body, "more");
    setting.stop();
  });

  test("with fail_open lets go on what waits for it", async () => {
    const setting = await withPlugins([{ failurePolicy: "fail_open" }]);
    const waiting = run(setting, "call authority /hang", "/", "body");
    await new Promise((resolve) => setTimeout(resolve, 50));
    await run(setting, "trap");
    assert.equal((await waiting).status, 200);
    assert.ok(setting.seen.some(({ body }) => body === "body"));
    setting.stop();
  });

  test("with fail_reload has a new VM for the next stream, but not more often than it may", async () => {
    const setting = await withPlugins([{ failurePolicy: "fail_reload", reloadMs: 100_000 }]);
    assert.equal((await run(setting, "trap")).status, 503);
    assert.equal((await run(setting, "log 2 fine")).status, 200);
    assert.equal(setting.stat("wasm.test.vm_reload_success"), 1);
    assert.equal((await run(setting, "trap")).status, 503);
    assert.equal((await run(setting, "log 2 fine")).status, 503);
    assert.equal(setting.stat("wasm.test.vm_reload_backoff"), 1);
    assert.equal(setting.stat("wasm.envoy.wasm.runtime.v8.created"), 2);
    assert.equal(setting.stat("wasm.envoy.wasm.runtime.v8.active"), 0);
    setting.stop();
  });

  test("that refuses its configuration or its VM's is not reloaded", async () => {
    for (const overrides of [
      { configuration: Buffer.from("refuse") },
      { vm: { configuration: Buffer.from("refuse") } },
    ] satisfies Overrides[]) {
      const setting = await withPlugins([{ failurePolicy: "fail_reload", ...overrides }]);
      assert.equal((await run(setting, "log 2 fine")).status, 503);
      assert.equal((await run(setting, "log 2 fine")).status, 503);
      assert.equal(setting.stat("wasm.test.vm_reload_success"), 0);
      setting.stop();
    }
  });
});

test("with allow_on_headers_stop_iteration the head waits and the body is shown", async () => {
  const setting = await withPlugins([{ allowsHeadersStop: true }]);
  // The module stops at the head, sees the body, and its Continue sends both; the length is corrected.
  await run(setting, "on-body replace;pause", "/", "hello");
  assert.equal(setting.seen.at(-1)?.body, "<hello>");
  assert.equal(setting.seen.at(-1)?.headers["content-length"], undefined);
  setting.stop();
});

test("a stream that comes before the plugin is there waits for it", async () => {
  const setting = await withPlugins([{}]);
  const answers = await Promise.all([
    run(setting, "on-body upper;set x-early 1", "/", "early"),
    run(setting, "reply 401"),
    run(setting, "log 2 x"),
  ]);
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 401, 200],
  );
  assert.ok(setting.seen.some(({ body, headers }) => body === "EARLY" && headers["x-early"] === "1"));
  setting.stop();
});

test("requests and responses of HTTP/2 pass a plugin like those of HTTP/1", async () => {
  const setting = await withPlugins([{}]);
  const session = connect(`http://127.0.0.1:${setting.path.port()}`);
  const stream = session.request({
    ":method": "POST",
    ":path": "/http2",
    "x-do":
      "on-body replace;text-property request.protocol;on-response set :status 418,remove content-length;on-response-body replace",
  });
  stream.end("hello");
  let status = 0;
  stream.on("response", (headers) => {
    status = Number(headers[":status"]);
  });
  const body = Buffer.concat(await stream.toArray()).toString();
  session.close();
  assert.equal(status, 418);
  assert.equal(body, "<app>");
  assert.equal(setting.seen[0]?.body, "<hello>");
  assert.equal(setting.seen[0]?.headers["x-got-property"], "HTTP/2");
  setting.stop();
});

test("two plugins in one chain share a VM and see each other's changes in order", async () => {
  const setting = await withPlugins([
    { name: "first", rootId: "one" },
    { name: "second", rootId: "two" },
  ]);
  await run(setting, "count both;add x-round 1");
  const { headers } = setting.seen.at(-1)!;
  assert.equal(headers["x-got-count"], "2 0");
  assert.equal(headers["x-round"], "1, 1");
  assert.equal(setting.stat("wasm.envoy.wasm.runtime.v8.created"), 1);
  // What one sets for the stream the other finds.
  await run(setting, "text-property seen;set-property seen yes");
  assert.equal(setting.seen.at(-1)?.headers["x-got-property"], "yes");
  setting.stop();
});

test("the module that the AssemblyScript SDK makes works", async () => {
  const module = await compilePlugin("sdk-add-header");
  const setting = await withPlugins([
    {
      rootId: "add_header",
      configuration: Buffer.from("configured"),
      vm: { code: { type: "inline", bytes: module } },
    },
  ]);
  const answer = await run(setting, "");
  assert.equal(answer.status, 200);
  assert.equal(answer.headers["hello"], "configured");
  setting.stop();
});
