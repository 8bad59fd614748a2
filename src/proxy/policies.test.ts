// Every condition of AuthorizationPolicies over real sockets: policies as YAML, compiled by the real control plane, decided
// by a real sidecar, for a caller with a certificate of the mesh and one without.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { type AddressInfo, connect, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import type { TestControlPlane } from "#control/testing/test-control-plane.ts";
import type { TlsCertificate } from "#wire/tls/secrets.ts";
import { certify, meshConfig, meshedSidecar } from "./testing/meshed-proxy.ts";

/** Callers differ in their address too. */
const addresses = { client: "127.0.0.5", outside: "127.0.0.6" } as const;
type Who = keyof typeof addresses;

interface Workload {
  readonly started: TestControlPlane;
  /** Ports of the sidecar: two for HTTP, one for TCP. */
  readonly http: number;
  readonly alt: number;
  readonly tcp: number;
  /** Sends the bytes and gives back everything that comes. */
  readonly send: (who: Who, port: number, text: string) => Promise<string>;
  /** The status of an answer; 0 when there is none. */
  readonly status: (who: Who, port: number, target: string, lines?: string, method?: string) => Promise<number>;
  /** The path that the application saw last. */
  readonly lastPath: () => string;
}

async function listen(t: TestContext, server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => void server.close());
  return (server.address() as AddressInfo).port;
}

async function workload(t: TestContext, yaml: string): Promise<Workload> {
  let lastPath = "";
  const app = createServer((request, response) => {
    lastPath = request.url ?? "";
    response.end("app");
  });
  t.after(() => app.closeAllConnections());
  const web = await listen(t, app);
  const raw = await listen(
    t,
    createTcpServer((socket) => socket.on("error", () => socket.destroy()).end("hello")),
  );
  const { started, ports } = await meshedSidecar(t, yaml, [
    { protocol: "HTTP", port: web },
    { protocol: "HTTP", port: web },
    { protocol: "TCP", port: raw },
  ]);
  const [http = 0, alt = 0, tcp = 0] = ports;
  const identity = await certify(started, "default/client");
  const send: Workload["send"] = (who, port, text) => exchange(who, port, text, identity);
  return {
    started,
    http,
    alt,
    tcp,
    send,
    status: async (who, port, target, lines = "", method = "GET") => {
      const host = /^host:/im.test(lines) ? "" : "Host: app\r\n";
      const head = `${method} ${target} HTTP/1.1\r\n${host}${lines}Content-Length: 0\r\nConnection: close\r\n\r\n`;
      return Number(/^HTTP\/1\.1 (\d{3})/.exec(await send(who, port, head))?.[1] ?? 0);
    },
    lastPath: () => lastPath,
  };
}

function exchange(
  who: Who,
  port: number,
  text: string,
  { certificateChain, privateKey }: TlsCertificate,
): Promise<string> {
  const socket: Socket = connect({ host: "127.0.0.1", port, localAddress: addresses[who] });
  const peer =
    who === "outside"
      ? socket
      : connectTls({
          socket,
          cert: certificateChain,
          key: privateKey,
          rejectUnauthorized: false,
          servername: "outbound_.80_._.app.default.svc.cluster.local",
          ALPNProtocols: ["istio"],
        });
  return new Promise((resolve) => {
    let answer = "";
    peer.on("data", (chunk: Buffer) => {
      answer += chunk.toString("latin1");
    });
    peer.on("error", () => resolve(answer));
    peer.on("close", () => resolve(answer));
    socket.on("error", () => resolve(answer));
    peer.write(text);
  });
}

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (!(await condition())) assert.ok(Date.now() < deadline, `never: ${what}`);
}

const policy = (name: string, spec: string, kind = "AuthorizationPolicy"): string => `
apiVersion: security.istio.io/v1
kind: ${kind}
metadata: {name: ${name}, namespace: default}
spec: ${spec}
---`;

const { publicKey, privateKey } = await generateKeyPair("ES256");
const keys = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: "one" }] });
const jwt = await new SignJWT({ azp: "shop", scope: "read write", realm: { roles: ["user", "admin"] } })
  .setProtectedHeader({ alg: "ES256", kid: "one" })
  .setIssuer("issuer")
  .setSubject("ann")
  .setAudience("web")
  .setExpirationTime("10m")
  .sign(privateKey);
const tokens = policy(
  "jwt",
  `{jwtRules: [{issuer: issuer, forwardOriginalToken: true, jwks: '${keys}'}]}`,
  "RequestAuthentication",
);

interface KeyRow {
  readonly key: string;
  /** Of a rule that denies. Without `to` it is about the row's own path. */
  readonly from?: string;
  readonly to?: string;
  readonly when?: string;
  /** Calls: `client` (with the mesh's certificate) or `outside` (plaintext), then `@alt`, a path, `-X`, `-H`, `$jwt`. */
  readonly denied: readonly string[];
  readonly passes: readonly string[];
}

const my = "cluster.local/ns/default/sa/client";
const on = (operation: string): string => `${operation}, ports: ["$http"]`;
const ofRow = (rest: string): string => on(`paths: [ROW], ${rest}`);
const header = (name: string, value: string): string => `outside -H '${name}: ${value}'`;

const everyKey: readonly KeyRow[] = [
  { key: "principals", from: `principals: [${my}]`, denied: ["client"], passes: ["outside"] },
  {
    key: "principals, prefix",
    from: 'principals: ["cluster.local/ns/default/*"]',
    denied: ["client"],
    passes: ["outside"],
  },
  { key: "principals, suffix", from: 'principals: ["*/sa/client"]', denied: ["client"], passes: ["outside"] },
  { key: "principals, presence", from: 'principals: ["*"]', denied: ["client"], passes: ["outside"] },
  {
    key: "principals of others",
    from: 'principals: ["*/sa/client2", "*/sa/clien"]',
    denied: [],
    passes: ["client", "outside"],
  },
  { key: "notPrincipals", from: `notPrincipals: [${my}]`, denied: ["outside"], passes: ["client"] },
  { key: "namespaces", from: "namespaces: [default]", denied: ["client"], passes: ["outside"] },
  { key: "namespaces, prefix", from: 'namespaces: ["def*"]', denied: ["client"], passes: ["outside"] },
  { key: "notNamespaces", from: "notNamespaces: [default]", denied: ["outside"], passes: ["client"] },
  { key: "serviceAccounts", from: "serviceAccounts: [client]", denied: ["client"], passes: ["outside"] },
  {
    key: "serviceAccounts with a namespace",
    from: "serviceAccounts: [default/client]",
    denied: ["client"],
    passes: ["outside"],
  },
  { key: "notServiceAccounts", from: "notServiceAccounts: [default/client]", denied: ["outside"], passes: ["client"] },
  { key: "ipBlocks, an address", from: "ipBlocks: [$outside]", denied: ["outside"], passes: ["client"] },
  { key: "ipBlocks, CIDR", from: "ipBlocks: [127.0.0.0/24]", denied: ["outside", "client"], passes: [] },
  {
    key: "notIpBlocks",
    from: "ipBlocks: [127.0.0.0/24], notIpBlocks: [$outside]",
    denied: ["client"],
    passes: ["outside"],
  },
  {
    key: "remoteIpBlocks",
    from: "remoteIpBlocks: [203.0.113.0/24]",
    denied: [header("x-forwarded-for", "203.0.113.7")],
    passes: [header("x-forwarded-for", "203.0.114.7"), "outside"],
  },
  {
    key: "notRemoteIpBlocks",
    from: "remoteIpBlocks: [203.0.113.0/24], notRemoteIpBlocks: [203.0.113.9]",
    denied: [header("x-forwarded-for", "203.0.113.7")],
    passes: [header("x-forwarded-for", "203.0.113.9")],
  },
  {
    key: "requestPrincipals",
    from: 'requestPrincipals: ["$issuer/ann"]',
    denied: ["outside $jwt"],
    passes: ["outside"],
  },
  {
    key: "requestPrincipals, prefix",
    from: 'requestPrincipals: ["$issuer/*"]',
    denied: ["outside $jwt"],
    passes: ["outside"],
  },
  {
    key: "requestPrincipals, suffix",
    from: 'requestPrincipals: ["*/ann"]',
    denied: ["client $jwt"],
    passes: ["client"],
  },
  {
    key: "requestPrincipals, presence",
    from: 'requestPrincipals: ["*"]',
    denied: ["outside $jwt"],
    passes: ["outside"],
  },
  { key: "notRequestPrincipals", from: 'notRequestPrincipals: ["*"]', denied: ["outside"], passes: ["outside $jwt"] },
  {
    key: "hosts",
    to: ofRow("hosts: [a.example]"),
    denied: [header("host", "a.example"), header("host", "A.Example"), header("host", "a.example:81")],
    passes: [header("host", "b.example"), header("host", "xa.example"), "outside"],
  },
  {
    key: "hosts, prefix",
    to: ofRow('hosts: ["a.*"]'),
    denied: [header("host", "a.example")],
    passes: [header("host", "b.a.x")],
  },
  {
    key: "hosts, suffix",
    to: ofRow('hosts: ["*.example"]'),
    denied: [header("host", "a.example")],
    passes: [header("host", "a.b")],
  },
  { key: "hosts, presence", to: ofRow('hosts: ["*"]'), denied: ["outside", "client"], passes: [] },
  { key: "notHosts", to: ofRow("notHosts: [a.example]"), denied: ["outside"], passes: [header("host", "a.example")] },
  { key: "methods", to: ofRow("methods: [POST]"), denied: ["outside -X POST"], passes: ["outside", "outside -X PUT"] },
  {
    key: "methods, prefix",
    to: ofRow('methods: ["P*"]'),
    denied: ["outside -X POST", "client -X PUT"],
    passes: ["outside"],
  },
  { key: "notMethods", to: ofRow("notMethods: [GET]"), denied: ["outside -X POST"], passes: ["outside"] },
  {
    key: "paths",
    to: on("paths: [ROW/a]"),
    denied: ["outside ROW/a", "outside ROW/a?x=1"],
    passes: ["outside ROW/A", "outside ROW/a/"],
  },
  {
    key: "paths, prefix",
    to: on('paths: ["ROW/a*"]'),
    denied: ["outside ROW/a/b", "client ROW/abc"],
    passes: ["outside ROW/b"],
  },
  {
    key: "paths, suffix",
    to: on('paths: ["*-endROW"]'),
    denied: ["outside /x-endROW"],
    passes: ["outside ROW/x"],
  },
  {
    key: "paths, one segment",
    to: on('paths: ["ROW/{*}/c"]'),
    denied: ["outside ROW/b/c"],
    passes: ["outside ROW/a/b/c", "outside ROW/c"],
  },
  {
    key: "paths, any segments",
    to: on('paths: ["ROW/{**}"]'),
    denied: ["outside ROW/a/b/c", "outside ROW/a"],
    passes: ["outside /elsewhere"],
  },
  {
    key: "notPaths",
    to: on('paths: ["ROW/*"], notPaths: [ROW/free]'),
    denied: ["outside ROW/x"],
    passes: ["outside ROW/free"],
  },
  {
    key: "ports",
    to: 'paths: [ROW], ports: ["$alt"]',
    denied: ["outside @alt", "client @alt"],
    passes: ["outside", "client"],
  },
  {
    key: "notPorts",
    to: 'paths: [ROW], ports: ["$http", "$alt"], notPorts: ["$alt"]',
    denied: ["outside"],
    passes: ["outside @alt"],
  },
  {
    key: "request.headers",
    when: "key: 'request.headers[x-a]', values: [one]",
    denied: [header("x-a", "one")],
    passes: [header("x-a", "two"), "outside"],
  },
  {
    key: "request.headers, prefix",
    when: "key: 'request.headers[x-a]', values: ['o*']",
    denied: [header("X-A", "one")],
    passes: [header("x-a", "two")],
  },
  {
    key: "request.headers, suffix",
    when: "key: 'request.headers[x-a]', values: ['*e']",
    denied: [header("x-a", "one")],
    passes: [header("x-a", "two")],
  },
  {
    key: "request.headers, presence",
    when: "key: 'request.headers[x-a]', values: ['*']",
    denied: [header("x-a", "0")],
    passes: ["outside"],
  },
  {
    key: "request.headers, notValues",
    when: "key: 'request.headers[x-a]', notValues: [one]",
    denied: [header("x-a", "two"), "outside"],
    passes: [header("x-a", "one")],
  },
  { key: "source.ip", when: "key: source.ip, values: [$outside]", denied: ["outside"], passes: ["client"] },
  {
    key: "source.ip, notValues",
    when: "key: source.ip, notValues: [$outside]",
    denied: ["client"],
    passes: ["outside"],
  },
  {
    key: "remote.ip",
    when: "key: remote.ip, values: [203.0.113.0/24]",
    denied: [header("x-forwarded-for", "203.0.113.7")],
    passes: ["outside"],
  },
  {
    key: "source.namespace",
    when: "key: source.namespace, values: [default]",
    denied: ["client"],
    passes: ["outside"],
  },
  { key: "source.principal", when: `key: source.principal, values: [${my}]`, denied: ["client"], passes: ["outside"] },
  {
    key: "source.principal, notValues",
    when: `key: source.principal, notValues: ["*"]`,
    denied: ["outside"],
    passes: ["client"],
  },
  {
    key: "source.serviceAccount",
    when: "key: source.serviceAccount, values: [default/client]",
    denied: ["client"],
    passes: ["outside"],
  },
  {
    key: "source.trustDomain",
    when: "key: source.trustDomain, values: [cluster.local]",
    denied: ["client"],
    passes: ["outside"],
  },
  {
    key: "request.auth.principal",
    when: 'key: request.auth.principal, values: ["$issuer/ann"]',
    denied: ["outside $jwt"],
    passes: ["outside"],
  },
  {
    key: "request.auth.audiences",
    when: "key: request.auth.audiences, values: [web]",
    denied: ["outside $jwt"],
    passes: ["outside"],
  },
  {
    key: "request.auth.presenter",
    when: "key: request.auth.presenter, values: [shop]",
    denied: ["outside $jwt"],
    passes: ["outside"],
  },
  {
    key: "request.auth.claims",
    when: "key: 'request.auth.claims[sub]', values: ['an*']",
    denied: ["outside $jwt"],
    passes: ["outside"],
  },
  {
    key: "request.auth.claims, one of a list",
    when: "key: 'request.auth.claims[scope]', values: [write]",
    denied: ["outside $jwt"],
    passes: ["outside"],
  },
  {
    key: "request.auth.claims, nested",
    when: "key: 'request.auth.claims[realm][roles]', values: [admin]",
    denied: ["outside $jwt"],
    passes: ["outside"],
  },
  {
    key: "request.auth.claims, another",
    when: "key: 'request.auth.claims[realm][roles]', values: [root]",
    denied: [],
    passes: ["outside $jwt"],
  },
  {
    key: "destination.ip",
    when: "key: destination.ip, values: [127.0.0.1]",
    denied: ["outside", "client"],
    passes: [],
  },
  {
    key: "destination.ip of another",
    when: "key: destination.ip, values: [192.0.2.1]",
    denied: [],
    passes: ["outside", "client"],
  },
  {
    key: "destination.port",
    when: "key: destination.port, values: ['$http']",
    denied: ["outside", "client"],
    passes: ["outside @alt"],
  },
  {
    key: "connection.sni",
    when: "key: connection.sni, values: ['outbound_.80_.*']",
    denied: ["client"],
    passes: ["outside"],
  },
];

test("every key of from, to and when, in every form, decides on the wire", async (t) => {
  const app = await workload(t, tokens);
  const known: Readonly<Record<string, string>> = {
    $client: addresses.client,
    $outside: addresses.outside,
    $http: String(app.http),
    $alt: String(app.alt),
    $issuer: "issuer",
  };
  const fill = (text: string, id: number): string =>
    text.replaceAll(/\$[a-z]+/g, (name) => known[name] ?? name).replaceAll("ROW", `/row-${id}`);
  const rules = everyKey.map(({ from, to = on("paths: [ROW]"), when }, id) => {
    const parts = [
      ...(from === undefined ? [] : [`from: [{source: {${from}}}]`]),
      `to: [{operation: {${to}}}]`,
      ...(when === undefined ? [] : [`when: [{${when}}]`]),
    ];
    return fill(`{${parts.join(", ")}}`, id);
  });
  app.started.source.apply(policy("every-key", `{action: DENY, rules: [${rules.join(", ")}]}`));
  await until("the first rule", async () => (await app.status("client", app.http, "/row-0")) === 403);
  assert.deepEqual(app.started.control.snapshot()?.issues, []);
  const wrong: string[] = [];
  for (const [id, row] of everyKey.entries()) {
    for (const [calls, expected] of [
      [row.denied, 403],
      [row.passes, 200],
    ] as const) {
      for (const call of calls) {
        const status = await answerTo(app, fill(call, id), `/row-${id}`);
        if (status !== expected) wrong.push(`${row.key}: ${call} is answered ${status}, not ${expected}`);
      }
    }
  }
  assert.deepEqual(wrong, []);
});

/** `who [@alt] [path] [-X METHOD] [-H 'name: value'] [$jwt]` */
function answerTo(app: Workload, call: string, ownPath: string): Promise<number> {
  const [, who = "", port, path = ownPath, rest = ""] = /^(\w+)(?: @(alt))?(?: (\/\S*))?(.*)$/.exec(call) ?? [];
  const lines = [...rest.matchAll(/-H '([^']+)'/g)].map(([, line]) => `${line}\r\n`);
  if (rest.includes("$jwt")) lines.push(`authorization: Bearer ${jwt}\r\n`);
  const method = /-X (\w+)/.exec(rest)?.[1] ?? "GET";
  return app.status(who as Who, port === undefined ? app.http : app.alt, path, lines.join(""), method);
}

test("on TCP policies decide by who connects and by the port, and a rule about HTTP denies all of a TCP port", async (t) => {
  const app = await workload(t, "");
  const greeted = async (who: Who): Promise<boolean> => (await app.send(who, app.tcp, "hi")) === "hello";
  assert.deepEqual([await greeted("client"), await greeted("outside")], [true, true]);
  app.started.source.apply(
    policy(
      "tcp",
      `{action: DENY, rules: [{from: [{source: {principals: ["*/sa/client"]}}], to: [{operation: {ports: ["${app.tcp}"]}}]}]}`,
    ),
  );
  await until("the client to be cut off", async () => !(await greeted("client")));
  assert.equal(await greeted("outside"), true);
  assert.equal(await app.status("client", app.http, "/"), 200);
  app.started.source.apply(policy("tcp", "{action: DENY, rules: [{to: [{operation: {methods: [GET]}}]}]}"));
  await until("everybody to be cut off", async () => !(await greeted("outside")));
  assert.equal(await app.status("outside", app.http, "/", "", "POST"), 200);
  app.started.source.apply(policy("tcp", "{rules: [{to: [{operation: {methods: [GET]}}]}]}"));
  await until("ALLOW about HTTP", async () => (await app.status("outside", app.http, "/", "", "POST")) === 403);
  assert.deepEqual([await greeted("client"), await greeted("outside")], [false, false], "it never holds on TCP");
});

test("an empty policy lets nobody in, an empty rule everybody, DENY comes first, and AUDIT says nothing about it", async (t) => {
  const app = await workload(t, "");
  const becomes = (client: number, outside: number): Promise<void> =>
    until(`${client} and ${outside}`, async () => {
      const both = [await app.status("client", app.http, "/"), await app.status("outside", app.http, "/")];
      return both[0] === client && both[1] === outside;
    });
  app.started.source.apply(policy("nobody", "{}"));
  await becomes(403, 403);
  app.started.source.apply(policy("audit", "{action: AUDIT, rules: [{}]}"));
  app.started.source.apply(policy("some", '{rules: [{from: [{source: {principals: ["*/sa/client"]}}]}]}'));
  await becomes(200, 403);
  app.started.source.apply(policy("all", "{rules: [{}]}"));
  await becomes(200, 200);
  app.started.source.apply(policy("deny-get", "{action: DENY, rules: [{to: [{operation: {methods: [GET]}}]}]}"));
  await becomes(403, 403);
  assert.equal(await app.status("outside", app.http, "/", "", "POST"), 200);
});

const spellings = ["/admin", "/x/../admin", "/%61dmin", "//admin", "/x//../admin", "/%2Fadmin", "/x%2F..%2Fadmin"];

for (const [mode, denied] of [
  ["NONE", ["/admin"]],
  ["BASE", ["/admin", "/x/../admin", "/%61dmin"]],
  ["MERGE_SLASHES", ["/admin", "/x/../admin", "/%61dmin", "//admin"]],
  ["DECODE_AND_MERGE_SLASHES", ["/admin", "/x/../admin", "/%61dmin", "//admin", "/%2Fadmin", "/x%2F..%2Fadmin"]],
] as const) {
  test(`pathNormalization ${mode}: the path that the policy sees is the one that the application gets`, async (t) => {
    const app = await workload(
      t,
      meshConfig(`pathNormalization: {normalization: ${mode}}`) +
        policy("paths", "{action: DENY, rules: [{to: [{operation: {paths: [/admin]}}]}]}"),
    );
    const seen: string[] = [];
    for (const path of spellings) {
      const status = await app.status("outside", app.http, path);
      if (status === 403) seen.push(path);
      else assert.notEqual(app.lastPath(), "/admin", `${path} arrives as what is denied`);
    }
    assert.deepEqual(seen, denied);
  });
}
