// A proxy in trouble: its event loop is taken or its heap is full, in a process of its own.
import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { on, once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Agent, createServer, type IncomingMessage, request } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Trouble } from "./testing/troubled-proxy.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-overload-"));
let upstreamPort = 0;
const upstream = createServer((incoming, response) => {
  if (incoming.url !== "/stream") {
    response.end("ok");
    return;
  }
  response.write("first");
  incoming.on("end", () => response.end("last"));
  incoming.resume();
});

before(async () => {
  upstream.listen(0, "127.0.0.1");
  await once(upstream, "listening");
  upstreamPort = (upstream.address() as AddressInfo).port;
});

after(() => {
  upstream.closeAllConnections();
  upstream.close();
  rmSync(folder, { recursive: true });
});

const bootstrap = (): string => `
static_resources:
  listeners:
  - name: in
    address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          access_log:
          - name: file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: /dev/stdout
              log_format: { text_format_source: { inline_string: "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\\n" } }
          route_config:
            name: r
            virtual_hosts: [{ name: all, domains: ["*"], routes: [{ match: { prefix: / }, route: { cluster: up } }] }]
          http_filters:
          - { name: router, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router } }
  clusters:
  - name: up
    type: STATIC
    load_assignment:
      cluster_name: up
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${upstreamPort} } } } }] }]
`;

interface Troubled {
  readonly port: number;
  readonly adminPort: number;
  readonly lines: string[];
  accessLog: string;
  give(trouble: Trouble): void;
  stop(): Promise<void>;
}

async function troubledProxy(execArgv: readonly string[] = []): Promise<Troubled> {
  const path = join(folder, "bootstrap.yaml");
  writeFileSync(path, bootstrap());
  const child: ChildProcess = fork(join(import.meta.dirname, "testing/troubled-proxy.ts"), [path], {
    execArgv: [...execArgv],
    stdio: ["ignore", "pipe", "inherit", "ipc"],
  });
  const lines: string[] = [];
  let ports: { port: number; adminPort: number } | undefined;
  for await (const [message] of on(child, "message")) {
    if ("port" in message) {
      ports = message as { port: number; adminPort: number };
      break;
    }
  }
  child.on("message", (message: { line?: string }) => message.line !== undefined && lines.push(message.line));
  const troubled: Troubled = {
    port: ports?.port ?? 0,
    adminPort: ports?.adminPort ?? 0,
    lines,
    accessLog: "",
    give: (trouble) => void child.send(trouble),
    stop: async () => {
      const exit = once(child, "exit");
      child.disconnect();
      await exit;
    },
  };
  child.stdout?.on("data", (data: Buffer) => (troubled.accessLog += data.toString()));
  return troubled;
}

const agent = new Agent({ keepAlive: false });

async function ask(port: number, path = "/"): Promise<{ status: number; text: string }> {
  const sent = request({ host: "127.0.0.1", port, path, agent });
  sent.end();
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  let text = "";
  for await (const piece of response) text += String(piece);
  return { status: response.statusCode ?? 0, text };
}

/** Asks until the answer has that status; what else came before is given back. */
async function until(port: number, status: number): Promise<{ status: number; text: string }> {
  const end = Date.now() + 20_000;
  for (;;) {
    const answer = await ask(port);
    if (answer.status === status) return answer;
    assert.ok(Date.now() < end, `no ${status} in time, but ${answer.status}`);
  }
}

async function survives(proxy: Troubled, trouble: Trouble, begins: RegExp): Promise<void> {
  assert.equal((await ask(proxy.port)).status, 200);
  const open = request({ host: "127.0.0.1", port: proxy.port, path: "/stream", method: "POST", agent });
  open.write("half");
  const [response] = (await once(open, "response")) as [IncomingMessage];

  proxy.give(trouble);
  const shed = await until(proxy.port, 503);
  assert.equal(shed.text, "envoy overloaded");
  assert.equal((await ask(proxy.adminPort, "/ready")).status, 200);
  const stats = await ask(
    proxy.adminPort,
    "/stats?filter=overload.envoy.overload_actions.stop_accepting_requests.active",
  );
  assert.equal(stats.text, "overload.envoy.overload_actions.stop_accepting_requests.active: 1\n");

  proxy.give({ over: true });
  await until(proxy.port, 200);
  open.end("rest");
  let text = "";
  for await (const piece of response) text += String(piece);
  assert.equal(text, "firstlast", "who was served before is served to the end");
  const shedLine = proxy.accessLog.split("\n").find((line) => line.startsWith("503"));
  assert.match(shedLine ?? "", /^503 OM overload cause="this proxy is overloaded: /);
  const told = proxy.lines.filter((line) => line.includes("stop_accepting_requests"));
  assert.equal(told.length, 2, told.join("\n"));
  assert.match(told[0] ?? "", begins);
  assert.match(told[1] ?? "", /ends after [\d.]+ s, \d+ requests were answered with 503/);
}

test("a proxy whose event loop is taken sheds requests, answers probes, and recovers", async () => {
  const proxy = await troubledProxy();
  try {
    await survives(proxy, { turnsOfMs: 700 }, /begins: events wait \d+ ms for their turn, of 300 ms/);
  } finally {
    await proxy.stop();
  }
});

test("a proxy whose heap is nearly full sheds requests and recovers when there is room", async () => {
  const proxy = await troubledProxy(["--max-old-space-size=256"]);
  try {
    await survives(proxy, { heapShare: 0.93 }, /begins: the heap is at 9\d %: \d+ of \d+ MB/);
  } finally {
    await proxy.stop();
  }
});
