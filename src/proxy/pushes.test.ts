// A thousand configurations from the real control plane, each of which changes something on the way of two long
// conversations through one gateway: a WebSocket and a gRPC stream. Neither may end or lose a message.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { type AddressInfo, type Socket } from "node:net";
import { test } from "node:test";
import { LogRegistry } from "#base/log/log.ts";
import { freePort } from "#base/net/testing/free-port.ts";
import { endpointSlice, metricValue, startTestControlPlane } from "#control/testing/test-control-plane.ts";
import { SecretStore } from "#wire/tls/secrets.ts";
import { EchoClient, grpcServer } from "./listener/testing/grpc-echo.ts";
import { startProxy } from "./start.ts";

interface Ports {
  readonly gateway: number;
  /** Of a listener that comes and goes. */
  readonly other: number;
  readonly chat: number;
  readonly grpc: number;
}

const service = (name: string, port: number): string => `
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: default}
spec:
  clusterIP: 10.96.0.${name.length}
  selector: {app: ${name}}
  ports: [{name: ${name === "ratings" ? "grpc" : "http"}, port: 9080, targetPort: ${port}}]
`;

const meshYaml = (ports: Ports): string =>
  [
    `
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec:
  clusterIP: 10.96.0.2
  selector: {istio: ingressgateway}
  ports:
  - {name: http, port: ${ports.gateway}, targetPort: ${ports.gateway}}
  - {name: http-other, port: ${ports.other}, targetPort: ${ports.other}}
`,
    service("reviews", ports.chat),
    service("ratings", ports.grpc),
    endpointSlice("ratings", ["127.0.0.1"], ports.grpc),
    ...changes.map((change) => change(0, ports)),
  ].join("---");

/** What each push changes: routes, clusters, endpoints, the listener that serves, and another one. */
const changes: readonly ((round: number, ports: Ports) => string)[] = [
  (round) => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: all, namespace: default}
spec:
  hosts: ["*"]
  gateways: [gateway]
  http:
  - match: [{uri: {prefix: /test.Echo/}}]
    headers: {request: {set: {x-round: "${round}"}}}
    route: [{destination: {host: ratings, port: {number: 9080}}}]
  - match: [{uri: {prefix: /chat}}]
    timeout: ${round + 1000}s
    route: [{destination: {host: reviews, port: {number: 9080}}}]
`,
  (round) =>
    ["reviews", "ratings"]
      .map(
        (host) => `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ${host}, namespace: default}
spec:
  host: ${host}
  trafficPolicy: {connectionPool: {tcp: {connectTimeout: ${round + 1}s}}}
`,
      )
      .join("---"),
  (round, ports) => endpointSlice("reviews", round % 2 === 0 ? ["127.0.0.1"] : ["127.0.0.1", "127.0.0.2"], ports.chat),
  (round) => `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: round, namespace: istio-system}
spec:
  selector: {matchLabels: {istio: ingressgateway}}
  action: DENY
  rules: [{to: [{operation: {paths: ["/denied/${round}"]}}]}]
`,
  (round, ports) => `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gateway, namespace: default}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: ${ports.gateway}, name: http, protocol: HTTP}, hosts: ["*"]}
${round % 2 === 0 ? "" : `  - {port: {number: ${ports.other}, name: http-other, protocol: HTTP}, hosts: [other.example]}`}
`,
];

/** Answers each text of a WebSocket with itself: RFC 6455, as far as short texts need it. */
async function webSocketEcho(): Promise<{ readonly port: number; readonly sockets: Set<Socket>; stop(): void }> {
  const sockets = new Set<Socket>();
  const server = createServer((_req, res) => res.end("ok"));
  server.on("upgrade", (req, socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
    const key = `${req.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const accept = createHash("sha1").update(key).digest("base64");
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    let rest = Buffer.alloc(0);
    socket.on("data", (data: Buffer) => {
      rest = Buffer.concat([rest, data]);
      for (;;) {
        const length = (rest[1] ?? 0) & 0x7f;
        if (rest.length < 6 + length) return;
        const mask = rest.subarray(2, 6);
        const text = rest.subarray(6, 6 + length).map((byte, i) => byte ^ (mask[i % 4] ?? 0));
        socket.write(Buffer.concat([Buffer.from([rest[0] ?? 0, length]), text]));
        rest = rest.subarray(6 + length);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve));
  const stop = (): void => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  return { port: (server.address() as AddressInfo).port, sockets, stop };
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 1));
}

/** Sends one message after the other, each when the one before has come back, and remembers what went wrong. */
class Conversation {
  rounds = 0;
  readonly faults: string[] = [];
  isOver = false;
  readonly #send: (text: string) => void;

  constructor(send: (text: string) => void) {
    this.#send = send;
  }

  start(): void {
    this.#send("message 0");
  }

  heard(text: string): void {
    if (text !== `message ${this.rounds}`) this.faults.push(`${text} in place of message ${this.rounds}`);
    this.rounds++;
    if (!this.isOver) this.#send(`message ${this.rounds}`);
  }

  ended(how: string): void {
    if (!this.isOver) this.faults.push(how);
  }
}

test("1000 pushes of routes, clusters, endpoints and listeners: an open WebSocket and a gRPC stream lose neither connection nor message", {
  timeout: 120_000,
}, async (context) => {
  const chat = await webSocketEcho();
  context.after(() => chat.stop());
  const grpc = await grpcServer();
  context.after(() => grpc.stop());
  const ports: Ports = { gateway: await freePort(), other: await freePort(), chat: chat.port, grpc: grpc.port };
  const plane = await startTestControlPlane(meshYaml(ports), { debounce: { quietMs: 0, urgentQuietMs: 0, maxMs: 1 } });
  context.after(() => plane.control.stop());
  const lines: string[] = [];
  const proxy = await startProxy({
    node: {
      id: "router~127.0.0.1~gateway-1.istio-system~istio-system.svc.cluster.local",
      cluster: "istio-ingressgateway",
      locality: { region: "", zone: "", subZone: "" },
      metadata: {
        NAMESPACE: "istio-system",
        LABELS: { istio: "ingressgateway" },
        WORKLOAD_NAME: "istio-ingressgateway",
      },
    },
    role: "router",
    version: "1.31.0",
    ads: {
      address: `127.0.0.1:${plane.control.addresses.tls?.port ?? 0}`,
      tls: { rootCertificates: () => plane.control.rootCertificates, serverName: "istiod.istio-system.svc" },
      token: async () => "istio-system/gateway",
    },
    secrets: new SecretStore(),
    log: new LogRegistry({ level: "warn", write: (line) => lines.push(line) }),
    servers: { admin: { host: "127.0.0.1", port: 0 } },
  });
  context.after(() => proxy.stop());
  await until(() => proxy.ready());

  /** Responses that the control plane sent, of every type. */
  const pushes = (): number =>
    ["cds", "eds", "lds", "rds"].reduce(
      (sum, type) => sum + metricValue(plane.control, `pilot_xds_pushes{type="${type}"}`),
      0,
    );

  const socket = new WebSocket(`ws://127.0.0.1:${ports.gateway}/chat`);
  context.after(() => socket.close());
  const talk = new Conversation((text) => socket.send(text));
  socket.addEventListener("message", ({ data }) => talk.heard(String(data)));
  socket.addEventListener("close", ({ code }) => talk.ended(`the WebSocket was closed: ${code}`));
  socket.addEventListener("error", () => talk.ended("the WebSocket failed"));
  await until(() => socket.readyState === WebSocket.OPEN);
  talk.start();

  const client = new EchoClient(ports.gateway);
  context.after(() => client.close());
  const call = client.chat();
  const stream = new Conversation((text) => void call.write(Buffer.from(text)));
  call.on("data", (message: Buffer) => stream.heard(message.toString()));
  call.on("end", () => stream.ended("the gRPC stream was ended"));
  call.on("error", (error) => stream.ended(`the gRPC stream failed: ${error.message}`));
  stream.start();
  await until(() => talk.rounds > 0 && stream.rounds > 0);

  for (let push = 0; push < 1000; push++) {
    const sent = pushes();
    plane.source.apply(changes[push % changes.length]?.(1 + Math.floor(push / changes.length), ports) ?? "");
    await until(() => pushes() > sent);

    // Both conversations go on between any two pushes.
    const { rounds } = talk;
    const { rounds: streamRounds } = stream;
    await until(
      () => (talk.rounds > rounds && stream.rounds > streamRounds) || talk.faults.length + stream.faults.length > 0,
    );
    assert.deepEqual([...talk.faults, ...stream.faults], [], `after push ${push}`);
  }
  // The last of them is in force, so the proxy took what it was sent.
  await until(async () => (await fetch(`http://127.0.0.1:${ports.gateway}/denied/200`)).status === 403);
  assert.deepEqual([...talk.faults, ...stream.faults], []);
  talk.isOver = true;
  stream.isOver = true;
  assert.equal(metricValue(plane.control, "pilot_total_xds_rejects"), 0);
  assert.equal(chat.sockets.size, 1, "one WebSocket, from first to last");
  assert.ok(talk.rounds > 1000 && stream.rounds > 1000);
  assert.deepEqual(lines, []);
});
