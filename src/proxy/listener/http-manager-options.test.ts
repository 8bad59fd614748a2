// What the fields of HttpConnectionManager do to real requests.
import assert from "node:assert/strict";
import { test } from "node:test";
import { cidrSet } from "../config/cidr-set.ts";
import type { HttpConnectionManagerConfig } from "../config/http.ts";
import {
  chain,
  clientAddress,
  clusterOn,
  dataPath,
  forward,
  http1Options,
  httpFilter,
  listenerConfig,
  managerConfig,
  routeEntry,
  type TestDataPath,
} from "./testing/data-path.ts";
import { cannedServer, RawClient, type RawServer } from "./testing/raw-peers.ts";
import { sendRaw, until } from "./testing/requests.ts";

interface Served {
  readonly path: TestDataPath;
  readonly server: RawServer & { readonly received: () => string };
  /** Sends one request and gives the answer and what the upstream saw of it. */
  ask(bytes: string): Promise<{ readonly answer: string; readonly upstream: string }>;
  stop(): void;
}

async function served(manager: Partial<HttpConnectionManagerConfig>, answer = ok): Promise<Served> {
  const server = await cannedServer(answer);
  const path = dataPath({ node: { id: "sidecar~1", cluster: "caller" } });
  path.clusters.update(clusterOn("app", [server.port]));
  const routes = [routeEntry("/gone", forward("nowhere")), routeEntry("/", forward("app"))];
  await path.listeners.update(listenerConfig([chain([httpFilter(managerConfig(routes, manager))])]));
  return {
    path,
    server,
    ask: async (bytes) => {
      const before = server.received().length;
      const text = await sendRaw(path.port(), bytes);
      return { answer: text, upstream: server.received().slice(before) };
    },
    stop: () => {
      path.stop();
      server.stop();
    },
  };
}

const ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-lower: 1\r\nVia: 1.0 far\r\n\r\nok";
const get = (target: string, lines = "", host = "a"): string =>
  `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${lines}Connection: close\r\n\r\n`;

const slashRows: readonly (readonly [HttpConnectionManagerConfig["paths"]["escapedSlashes"], string, string])[] = [
  // action, status and location of the answer, path that the upstream saw
  ["keep", "200", "/a%2Fb%5Cc?d=%2F"],
  ["reject", "400", ""],
  ["forward", "200", "/a/b/c?d=%2F"],
  ["redirect", "307 /a/b/c?d=%2F", ""],
];

for (const [escapedSlashes, expected, forwarded] of slashRows) {
  test(`path_with_escaped_slashes_action ${escapedSlashes} answers ${expected}`, async () => {
    const it = await served({ paths: { normalize: true, mergeSlashes: false, escapedSlashes } });
    const { answer, upstream } = await it.ask(get("/a%2Fb%5Cc?d=%2F"));
    const [status, location] = expected.split(" ");
    assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `));
    assert.equal(/location: (.*)\r\n/.exec(answer)?.[1], location);
    assert.equal(upstream.split(" ")[1] ?? "", forwarded);
    const details = status === "200" ? "via_upstream" : "path_normalization_failed";
    await until(() => it.path.logs.length === 1);
    assert.equal(it.path.logs[0]?.["responseCodeDetails"], details);
    // Escapes in the query, and others in the path, are nobody's business.
    assert.match((await it.ask(get("/a%20b?c=%2F"))).answer, /^HTTP\/1\.1 200 /);
    it.stop();
  });
}

test("a gRPC client is refused where another is redirected", async () => {
  const it = await served({ paths: { normalize: true, mergeSlashes: false, escapedSlashes: "redirect" } });
  const { answer } = await it.ask(get("/a%2Fb", "content-type: application/grpc\r\n"));
  assert.match(answer, /^HTTP\/1\.1 400 /);
  it.stop();
});

test("slashes are merged and dots resolved only where asked for", async () => {
  const merged = await served({ paths: { normalize: false, mergeSlashes: true, escapedSlashes: "keep" } });
  assert.match((await merged.ask(get("//a///../b"))).upstream, /^GET \/a\/\.\.\/b /);
  merged.stop();
  const plain = await served({ paths: { normalize: false, mergeSlashes: false, escapedSlashes: "keep" } });
  assert.match((await plain.ask(get("//a/./b%41"))).upstream, /^GET \/\/a\/\.\/b%41 /);
  plain.stop();
});

const hostRows: readonly (readonly [Partial<HttpConnectionManagerConfig>, string, string])[] = [
  [{ stripPort: "any" }, "a.b:81", "a.b"],
  [{ stripPort: "any" }, "[::1]:81", "[::1]"],
  [{ stripPort: "matching" }, "a.b:81", "a.b:81"],
  [{ stripTrailingHostDot: true }, "a.b.:81", "a.b:81"],
  [{ stripTrailingHostDot: true, stripPort: "any" }, "a.b.:81", "a.b"],
  [{}, "A.B.:81", "A.B.:81"],
];

for (const [manager, host, expected] of hostRows) {
  test(`with ${JSON.stringify(manager)} the host ${host} is ${expected}`, async () => {
    const it = await served(manager);
    const { upstream } = await it.ask(get("/", "", host));
    assert.equal(/Host: (.*)\r\n/i.exec(upstream)?.[1], expected);
    await until(() => it.path.logs.length === 1);
    assert.equal(it.path.logs[0]?.["authority"], expected);
    it.stop();
  });
}

test("strip_matching_host_port cuts the port that the client connected to", async () => {
  const it = await served({ stripPort: "matching" });
  const { upstream } = await it.ask(get("/", "", `a:${it.path.port()}`));
  assert.match(upstream, /Host: a\r\n/);
  it.stop();
});

test("names with underscores are kept, dropped with their lines, or refused", async () => {
  const lines = "X_A: 1\r\nX-B: 2\r\n";
  const allow = await served({});
  assert.match((await allow.ask(get("/", lines))).upstream, /X_A: 1\r\n/);
  allow.stop();
  const drop = await served({ headersWithUnderscores: "drop" });
  const { upstream } = await drop.ask(get("/", lines));
  assert.doesNotMatch(upstream, /X_A/);
  assert.match(upstream, /X-B: 2\r\n/);
  drop.stop();
  const reject = await served({ headersWithUnderscores: "reject" });
  assert.match((await reject.ask(get("/", lines))).answer, /^HTTP\/1\.1 400 /);
  assert.equal(reject.path.logs[0]?.["responseCodeDetails"], "http1.unexpected_underscore");
  reject.stop();
});

test("100-continue is answered here unless it is the upstream's, and never for HTTP/1.0", async () => {
  const post = (version: string): string =>
    `POST / HTTP/${version}\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-Continue\r\nConnection: close\r\n\r\n`;
  const answered = await served({ proxies100Continue: false }, `HTTP/1.1 100 Continue\r\n\r\n${ok}`);
  const client = new RawClient(answered.path.port());
  client.send(post("1.1"));
  await client.sees("HTTP/1.1 100 Continue\r\n\r\n");
  client.send("abc");
  await client.isEnded();
  assert.equal(client.text.split("100 Continue").length, 2);
  assert.doesNotMatch(answered.server.received(), /expect/i);
  const old = await answered.ask(`${post("1.0")}abc`);
  assert.match(old.answer, /^HTTP\/1\.1 200 /);
  answered.stop();
  const proxied = await served({ proxies100Continue: true });
  assert.match((await proxied.ask(`${post("1.1")}abc`)).upstream, /Expect: 100-Continue/);
  assert.doesNotMatch((await proxied.ask(`${post("1.0")}abc`)).upstream, /Expect/);
  proxied.stop();
});

test("HTTP/1.0 without Host gets the configured host, else the address that was asked", async () => {
  const named = await served({ http1: http1Options({ defaultHost: "old.example" }) });
  assert.match((await named.ask("GET / HTTP/1.0\r\n\r\n")).upstream, /host: old\.example\r\n/);
  named.stop();
  const plain = await served({});
  const { upstream } = await plain.ask("GET / HTTP/1.0\r\n\r\n");
  assert.ok(upstream.includes(`host: 127.0.0.1:${plain.path.port()}\r\n`), upstream);
  plain.stop();
});

test("allow_chunked_length drops the length, and its default refuses", async () => {
  const both =
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
  const allowed = await served({ http1: http1Options({ allowChunkedLength: true }) });
  const { upstream } = await allowed.ask(`${both}0\r\n\r\n`);
  assert.doesNotMatch(upstream, /content-length/i);
  assert.match(upstream, /Transfer-Encoding: chunked\r\n/);
  allowed.stop();
  const refused = await served({});
  assert.match((await refused.ask(`${both}0\r\n\r\n`)).answer, /^HTTP\/1\.1 400 /);
  refused.stop();
});

test("absolute targets are refused where allow_absolute_url is off", async () => {
  const it = await served({ http1: http1Options({ allowAbsoluteUrl: false }) });
  assert.match((await it.ask(get("http://a/b"))).answer, /^HTTP\/1\.1 404 /);
  assert.equal(it.path.logs[0]?.["responseCodeDetails"], "absolute_path_rejected");
  it.stop();
});

test("names of response headers are written as words where asked for, and as they came elsewhere", async () => {
  const proper = await served({ http1: http1Options({ properCaseNames: true }) });
  const { answer } = await proper.ask(get("/"));
  assert.match(answer, /\r\nX-Lower: 1\r\n[^]*\r\nConnection: close\r\n/);
  proper.stop();
  const plain = await served({});
  assert.match((await plain.ask(get("/"))).answer, /\r\nx-lower: 1\r\n/);
  plain.stop();
});

test("a refused request costs the connection unless invalid messages may leave it open", async () => {
  const bad = "GET /../x HTTP/1.1\r\nHost: a\r\n\r\n";
  const closes = await served({});
  assert.match((await closes.ask(`${bad}${get("/")}`)).answer, /^HTTP\/1\.1 400 [^]*connection: close\r\n\r\n$/);
  closes.stop();
  const stays = await served({ http1: http1Options({ keepsOpenAfterInvalid: true }) });
  assert.match((await stays.ask(`${bad}${get("/")}`)).answer, /^HTTP\/1\.1 400 [^]*HTTP\/1\.1 200 OK/);
  // What can't be told from the next request still ends it.
  const unread = `POST /../x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n`;
  assert.match((await stays.ask(unread)).answer, /^HTTP\/1\.1 400 [^]*connection: close\r\n\r\n$/);
  assert.match((await stays.ask("G@T / HTTP/1.1\r\n\r\n")).answer, /^HTTP\/1\.1 400 [^]*connection: close\r\n/);
  stays.stop();
});

test("via is appended in both directions, and the request id is told where asked for", async () => {
  const it = await served({ via: "1.1 mesh", alwaysSetRequestIdInResponse: true });
  const { answer, upstream } = await it.ask(get("/", "Via: 1.0 near\r\n"));
  assert.match(upstream, /Via: 1\.0 near, 1\.1 mesh\r\n/);
  assert.match(answer, /Via: 1\.0 far, 1\.1 mesh\r\n/);
  const id = /x-request-id: (.*)\r\n/.exec(upstream)?.[1];
  assert.ok(id !== undefined && answer.includes(`x-request-id: ${id}\r\n`));
  it.stop();
});

test("an edge renews the request id unless told to keep it", async () => {
  const client = clientAddress({ useRemoteAddress: true });
  const renewed = await served({ client });
  assert.doesNotMatch((await renewed.ask(get("/", "X-Request-Id: mine\r\n"))).upstream, /mine/);
  renewed.stop();
  const kept = await served({ client, preserveExternalRequestId: true });
  assert.match((await kept.ask(get("/", "X-Request-Id: mine\r\n"))).upstream, /X-Request-Id: mine\r\n/);
  kept.stop();
});

test("add_user_agent names the caller's cluster and leaves a user agent alone", async () => {
  const it = await served({ addUserAgent: true });
  const bare = await it.ask(get("/"));
  assert.match(bare.upstream, /x-envoy-downstream-service-cluster: caller\r\nuser-agent: caller\r\n/);
  assert.match(bare.upstream, /x-envoy-downstream-service-node: sidecar~1\r\n/);
  assert.match((await it.ask(get("/", "User-Agent: me\r\n"))).upstream, /User-Agent: me\r\n/);
  it.stop();
});

test("x-forwarded-for, -proto and -port say what the options say", async () => {
  const edge = { useRemoteAddress: true };
  const rows: [Parameters<typeof clientAddress>[0], string, RegExp][] = [
    [edge, "X-Forwarded-For: 6.6.6.6\r\n", /X-Forwarded-For: 6\.6\.6\.6,127\.0\.0\.1\r\n/],
    [{ ...edge, skipXffAppend: true }, "X-Forwarded-For: 6.6.6.6\r\n", /X-Forwarded-For: 6\.6\.6\.6\r\n/],
    [{ ...edge, mapsIpv4: true }, "", /x-forwarded-for: ::ffff:127\.0\.0\.1\r\n/],
    [{ ...edge, mapsIpv4: true }, "", /x-envoy-external-address: ::ffff:127\.0\.0\.1\r\n/],
    [{ ...edge, appendXForwardedPort: true }, "X-Forwarded-Port: 1\r\n", /X-Forwarded-Port: \d{4,5}\r\n/],
    [{ appendXForwardedPort: true }, "X-Forwarded-Port: 1\r\n", /X-Forwarded-Port: 1\r\n/],
    [{ appendXForwardedPort: true }, "", /x-forwarded-port: \d{4,5}\r\n/],
    [edge, "X-Forwarded-Proto: https\r\n", /X-Forwarded-Proto: http\r\n/],
    [{ ...edge, xffTrustedHops: 1 }, "X-Forwarded-Proto: https\r\n", /X-Forwarded-Proto: https\r\n/],
  ];
  for (const [client, lines, expected] of rows) {
    const it = await served({ client: clientAddress(client) });
    assert.match((await it.ask(get("/", lines))).upstream, expected);
    it.stop();
  }
  const forced = await served({ schemeOverwrite: "https" });
  assert.match((await forced.ask(get("/"))).upstream, /x-forwarded-proto: https\r\n/);
  forced.stop();
});

test("only configured addresses are internal, and internal clients may steer the router", async () => {
  const lines = "X-Envoy-Upstream-Alt-Stat-Name: x\r\nX-Envoy-Internal: true\r\n";
  const nobody = await served({ client: clientAddress({ useRemoteAddress: true }) });
  assert.doesNotMatch((await nobody.ask(get("/", lines))).upstream, /x-envoy-(upstream-alt|internal)/i);
  nobody.stop();
  const client = clientAddress({ useRemoteAddress: true, internalRanges: cidrSet(["127.0.0.0/8"]) });
  const local = await served({ client });
  const { upstream } = await local.ask(get("/", lines));
  assert.match(upstream, /X-Envoy-Upstream-Alt-Stat-Name: x\r\n/);
  assert.match(upstream, /x-envoy-internal: true\r\n/);
  assert.doesNotMatch(upstream, /external-address/);
  // Behind somebody else's proxy nobody is.
  const forwarded = await local.ask(get("/", `X-Forwarded-For: 1.2.3.4\r\n${lines}`));
  assert.doesNotMatch(forwarded.upstream, /x-envoy-(upstream-alt|internal)/i);
  local.stop();
});

test("the client's address is what an extension says, or the request is refused", async () => {
  const detection = [
    (header: (name: string) => string | undefined) => {
      const ip = header("x-real-ip");
      return ip === undefined ? 403 : { ip, isTrusted: false };
    },
  ];
  const it = await served({ client: clientAddress({ detection }) });
  assert.match((await it.ask(get("/", "X-Real-Ip: 9.9.9.9\r\n"))).answer, /^HTTP\/1\.1 200 /);
  assert.match((await it.ask(get("/"))).answer, /^HTTP\/1\.1 403 /);
  assert.equal(it.path.logs[1]?.["responseCodeDetails"], "original_ip_detection_failed");
  it.stop();
});

test("local replies are mapped and formatted, and responses of the upstream are not", async () => {
  const it = await served({
    localReply: {
      mappers: [
        { accepts: (entry) => entry.responseCode === 404, status: null, body: "never", headers: [], format: null },
        {
          accepts: (entry) => entry.responseFlags === "NC",
          status: 599,
          body: null,
          headers: [{ name: "x-mapped", operation: "append", value: "%RESPONSE_CODE%" }],
          format: { contentType: "text/html", render: (entry) => `<${entry.responseCode} ${entry.localReplyBody}>` },
        },
      ],
      format: { contentType: "application/json", render: (entry) => JSON.stringify({ code: entry.responseCode }) },
    },
  });
  const mapped = (await it.ask(get("/gone"))).answer;
  assert.match(mapped, /^HTTP\/1\.1 599 \r\n/);
  assert.match(mapped, /x-mapped: 599\r\n/);
  assert.match(mapped, /content-type: text\/html\r\n/);
  assert.match(mapped, /\r\n\r\n<599 >$/);
  assert.match((await it.ask(get("/../x"))).answer, /content-type: application\/json\r\n[^]*\r\n\r\n\{"code":400\}$/);
  const grpc = (await it.ask(get("/gone", "content-type: application/grpc\r\n"))).answer;
  assert.match(grpc, /^HTTP\/1\.1 200 OK\r\n/);
  assert.match(grpc, /grpc-status: 2\r\n/);
  assert.match((await it.ask(get("/"))).answer, /\r\n\r\nok$/);
  it.stop();
});

test("a connection ends after its requests, after its time, and a stream after its time", async () => {
  const counted = await served({ maxRequestsPerConnection: 2 });
  const two = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  assert.match((await counted.ask(two + two + two)).answer, /ok[^]*connection: close\r\n\r\nok$/);
  counted.stop();
  const aged = await served({ maxConnectionDurationMs: 1 });
  const client = new RawClient(aged.path.port());
  client.send(two);
  await client.sees("ok");
  await client.isEnded();
  client.socket.destroy();
  aged.stop();
  const limited = await served({ maxStreamDurationMs: 1 }, "");
  const { answer } = await limited.ask(get("/"));
  assert.match(answer, /^HTTP\/1\.1 408 /);
  assert.match(answer, /downstream duration timeout$/);
  assert.equal(limited.path.logs[0]?.["responseFlags"], "DT");
  assert.equal(limited.path.logs[0]?.["responseCodeDetails"], "max_duration_timeout");
  limited.stop();
});
