// Two control planes as processes behind one address, with gateways of ours in front of an application.
import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, get } from "node:http";
import { type AddressInfo, connect, createServer as createTcpServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { LogRegistry } from "#base/log/log.ts";
import type { RunningProxy } from "#proxy/options.ts";
import { startProxy } from "#proxy/start.ts";
import { SecretStore } from "#wire/tls/secrets.ts";

async function listen(t: TestContext, server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

interface Replica {
  readonly process: ChildProcess;
  readonly port: number;
}

async function startReplica(t: TestContext, folder: string): Promise<Replica> {
  const child = fork(join(import.meta.dirname, "../../control/testing/control-plane-entry.ts"), [folder]);
  t.after(() => child.kill("SIGKILL"));
  const [{ port }] = (await once(child, "message")) as [{ port: number }];
  return { process: child, port };
}

async function metric({ process: child }: Replica, series: string): Promise<number> {
  child.send("metrics");
  const [{ metrics }] = (await once(child, "message")) as [{ metrics: string }];
  const lines = metrics.split("\n").filter((line) => line.startsWith(series));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
}

/** What a Service is to its clients: connections go to the replicas that accept, in turn. */
function balance(t: TestContext, ports: readonly number[]): Promise<number> {
  let turn = 0;
  const server = createTcpServer((client) => {
    client.on("error", () => {});
    const attempt = (left: number): void => {
      const upstream = connect(ports[turn++ % ports.length] ?? 0, "127.0.0.1");
      upstream.once("error", () => (left > 1 ? attempt(left - 1) : client.destroy()));
      upstream.once("connect", () => {
        upstream.removeAllListeners("error").on("error", () => client.destroy());
        client.pipe(upstream).pipe(client);
        client.once("close", () => upstream.destroy());
        upstream.once("close", () => client.destroy());
        t.after(() => upstream.destroy());
      });
    };
    attempt(ports.length);
  });
  return listen(t, server);
}

async function startGateway(t: TestContext, index: number, control: number): Promise<RunningProxy> {
  const name = `gateway-${index}`;
  const proxy = await startProxy({
    node: {
      id: `router~127.0.0.1~${name}.default~default.svc.cluster.local`,
      cluster: "gateway",
      locality: { region: "", zone: "", subZone: "" },
      metadata: { NAMESPACE: "default", LABELS: { app: "gateway", index: String(index) } },
    },
    role: "router",
    version: "1.31.0",
    ads: { address: `127.0.0.1:${control}`, tls: null, token: async () => undefined },
    secrets: new SecretStore(),
    log: new LogRegistry({ level: "error", write: (line) => console.error(line) }),
    servers: {},
  });
  t.after(() => proxy.stop());
  return proxy;
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createTcpServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  for (const server of servers) server.close();
  return ports;
}

/** Status, and the header that the VirtualService adds. */
function ask(port: number): Promise<string> {
  return new Promise((resolve) => {
    get({ port, host: "127.0.0.1", agent: false }, (response) => {
      response.resume();
      response.once("end", () => resolve(`${response.statusCode} ${String(response.headers["x-version"])}`));
    }).once("error", (error) => resolve(error.message));
  });
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `never: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const mesh = (app: number, gateways: readonly number[], version: string): string => `
apiVersion: v1
kind: Service
metadata: {name: app, namespace: default}
spec: {clusterIP: 10.96.0.9, ports: [{name: http, port: 80, targetPort: ${app}}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: app-1, namespace: default, labels: {kubernetes.io/service-name: app}}
addressType: IPv4
ports: [{name: http, port: ${app}, protocol: TCP}]
endpoints: [{addresses: [127.0.0.1], conditions: {ready: true}}]
${gateways
  .map(
    (port, index) => `---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gateway-${index}, namespace: default}
spec: {selector: {index: "${index}"}, servers: [{port: {number: ${port}, name: http, protocol: HTTP}, hosts: ["*"], bind: 127.0.0.1}]}
`,
  )
  .join("")}---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: app, namespace: default}
spec:
  hosts: ["*"]
  gateways: [${gateways.map((_, index) => `gateway-${index}`).join(", ")}]
  http: [{headers: {response: {set: {x-version: "${version}"}}}, route: [{destination: {host: app}}]}]
`;

test("a replica that ends hands its proxies over: no request fails, nothing is sent again, and changes come", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-replicas-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const app = await listen(
    t,
    createServer((_, response) => response.end("ok")),
  );
  const ports = await freePorts(4);
  const write = (version: string): void => writeFileSync(join(folder, "mesh.yaml"), mesh(app, ports, version));
  write("one");
  const [first, second] = await Promise.all([startReplica(t, folder), startReplica(t, folder)]);
  const control = await balance(t, [first.port, second.port]);
  const gateways = await Promise.all(ports.map((_, index) => startGateway(t, index, control)));
  for (const port of ports) await until(async () => (await ask(port)) === "200 one");
  const connected = async (): Promise<number[]> => [
    await metric(first, "pilot_xds{"),
    await metric(second, "pilot_xds{"),
  ];
  const shares = await connected();
  assert.ok(shares[0] !== 0 && shares[1] !== 0 && (shares[0] ?? 0) + (shares[1] ?? 0) === 4, shares.join());
  const bytesBefore = await metric(second, "pilot_xds_config_size_bytes_sum");

  const answers = new Map<string, number>();
  let isOver = false;
  const traffic = ports.map(async (port) => {
    while (!isOver) {
      const answer = await ask(port);
      answers.set(answer, (answers.get(answer) ?? 0) + 1);
    }
  });
  const exited = once(first.process, "exit");
  first.process.kill("SIGTERM");
  assert.deepEqual(await exited, [0, null]);
  await until(async () => (await metric(second, "pilot_xds{")) === 4);
  await until(() => gateways.every((gateway) => gateway.adsStatus()?.connected === true));
  // Equal content has equal versions everywhere: what comes are answers without resources.
  const bytes = (await metric(second, "pilot_xds_config_size_bytes_sum")) - bytesBefore;
  assert.ok(bytes < 2000, `${bytes} bytes were sent again`);
  write("two");
  for (const port of ports) await until(async () => (await ask(port)) === "200 two");
  isOver = true;
  await Promise.all(traffic);
  assert.deepEqual(new Set(answers.keys()), new Set(["200 one", "200 two"]));
});
