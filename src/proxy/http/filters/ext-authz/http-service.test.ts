// External authorization by a service that speaks HTTP, on the wire.
import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { connect } from "node:net";
import { type TestContext, test } from "node:test";
import { clusterOn, httpServer } from "../../../listener/testing/data-path.ts";
import { type FilterBench, filterBench } from "../../../listener/testing/filter-bench.ts";
import { ask, sendRaw, until } from "../../../listener/testing/requests.ts";

const types = "type.googleapis.com/envoy.extensions.filters.http";

interface Asked {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly raw: readonly string[];
  readonly body: string;
}

interface Bench extends FilterBench {
  /** What the service was asked, and what the application got. */
  readonly asked: Asked[];
  readonly served: Asked[];
  answer: (response: ServerResponse, asked: Asked) => void;
}

interface Options {
  readonly http?: string;
  readonly filter?: string;
  readonly before?: string;
  readonly routes?: string;
}

const read = (request: IncomingMessage, done: (asked: Asked) => void): void => {
  let body = "";
  request.on("data", (chunk: Buffer) => (body += chunk.toString("latin1")));
  request.on("end", () => {
    const { headers, method = "", rawHeaders: raw, url = "" } = request;
    done({ method, url, headers, raw, body });
  });
};

async function bench(t: TestContext, { http = "", filter = "", before = "", routes }: Options = {}): Promise<Bench> {
  const asked: Asked[] = [];
  const served: Asked[] = [];
  const state = { answer: (response: ServerResponse): unknown => response.end() };
  const service = await httpServer((request, response) =>
    read(request, (it) => {
      asked.push(it);
      bench.answer(response, it);
    }),
  );
  t.after(() => service.stop());
  const started = await filterBench({
    filters: `${before}
- name: ext_authz
  typed_config:
    "@type": ${types}.ext_authz.v3.ExtAuthz
    http_service:
      server_uri: { uri: "http://authz", cluster: authz, timeout: 0.5s }
      ${http}
    ${filter}`,
    upstream: (request, response) =>
      read(request, (it) => {
        served.push(it);
        response.setHeader("x-app", "1");
        response.end("app");
      }),
    ...(routes !== undefined && { routes }),
  });
  started.path.clusters.update(clusterOn("authz", [service.port]));
  t.after(() => started.stop());
  const bench: Bench = { ...started, asked, served, answer: (response) => void state.answer(response) };
  return bench;
}

test("the service is asked with method, path, host and authorization, and 200 lets the request pass", async (t) => {
  const it = await bench(t, { http: "path_prefix: /check" });
  const headers = { host: "shop.example", authorization: "Basic abc", cookie: "secret", "x-a": "1" };
  const answer = await ask(it.path, "/cart?id=1", { method: "PUT", headers });
  assert.deepEqual([answer.status, answer.body], [200, "app"]);
  const [asked] = it.asked;
  assert.deepEqual(
    [asked?.method, asked?.url, asked?.headers.host, asked?.headers.authorization, asked?.headers["content-length"]],
    ["PUT", "/check/cart?id=1", "shop.example", "Basic abc", "0"],
  );
  assert.deepEqual([asked?.headers.cookie, asked?.headers["x-a"], asked?.body], [undefined, undefined, ""]);
  assert.equal(it.served[0]?.headers.cookie, "secret");
  assert.equal(it.stat("http.test.ext_authz.ok"), 1);
  assert.equal(it.stat("cluster.app.ext_authz.ok"), 1);
});

test("any other status is the refusal that the client gets, with its headers and body", async (t) => {
  const it = await bench(t);
  it.answer = (response) =>
    response.writeHead(401, { "www-authenticate": "Basic", "x-why": "no", "content-type": "text/html" }).end("<p>no");
  const answer = await ask(it.path, "/");
  assert.deepEqual(
    [
      answer.status,
      answer.body,
      answer.headers["www-authenticate"],
      answer.headers["x-why"],
      answer.headers["content-type"],
    ],
    [401, "<p>no", "Basic", "no", "text/html"],
  );
  assert.equal(it.served.length, 0);
  const log = it.path.logs.at(-1);
  assert.deepEqual([log?.["responseFlags"], log?.["responseCodeDetails"]], ["UAEX", "ext_authz_denied"]);
  assert.match(String(log?.["cause"]), /the authorization service authz \(HTTP\) denies it with 401/);
  assert.equal(it.stat("http.test.ext_authz.denied"), 1);
  it.answer = (response) => response.writeHead(302, { location: "http://login/" }).end();
  const redirect = await ask(it.path, "/");
  assert.deepEqual([redirect.status, redirect.headers["location"]], [302, "http://login/"]);
});

test("lists say which headers go to the service, to the application and to the client", async (t) => {
  const names = (list: string): string =>
    `{ patterns: [${list
      .split(" ")
      .map((name) => `{ exact: ${name} }`)
      .join(", ")}] }`;
  const it = await bench(t, {
    filter: `
    allowed_headers: { patterns: [{ prefix: x-in- }] }
    disallowed_headers: ${names("x-in-secret")}`,
    http: `
      authorization_request: { headers_to_add: [{ key: x-added, value: v }, { key: x-in-a, value: over }] }
      authorization_response:
        allowed_upstream_headers: ${names("x-user x-many")}
        allowed_upstream_headers_to_append: ${names("x-role")}
        allowed_client_headers: ${names("x-why")}
        allowed_client_headers_on_success: ${names("x-ok")}`,
  });
  it.answer = (response, { url }) => {
    const headers = {
      "x-user": "jason",
      "x-many": ["1", "2"],
      "x-role": "b",
      "x-other": "o",
      "x-ok": "y",
      "x-why": "w",
    };
    response
      .writeHead(url === "/deny" ? 403 : 200, { ...headers, "x-envoy-auth-headers-to-remove": "x-gone, host, :path" })
      .end();
  };
  const sent = { "x-in-a": "1", "x-in-b": "2", "x-in-secret": "s", "x-user": "root", "x-role": "a", "x-gone": "1" };
  const answer = await ask(it.path, "/", { headers: sent });
  const asked = it.asked[0]?.headers;
  assert.deepEqual(
    [asked?.["x-in-a"], asked?.["x-in-b"], asked?.["x-in-secret"], asked?.["x-added"], asked?.["x-user"]],
    ["over", "2", undefined, "v", undefined],
  );
  const served = it.served[0]?.headers;
  assert.deepEqual(
    [served?.["x-user"], served?.["x-many"], served?.["x-role"], served?.["x-other"], served?.["x-gone"]],
    ["jason", "1, 2", "a,b", undefined, undefined],
  );
  assert.deepEqual([answer.headers["x-ok"], answer.headers["x-app"], answer.headers["x-why"]], ["y", "1", undefined]);
  const denied = await ask(it.path, "/deny");
  assert.deepEqual([denied.status, denied.headers["x-why"], denied.headers["x-user"]], [403, "w", undefined]);
});

test("CVE-2021-32777: every value of a repeated header is sent, joined or as it came", async (t) => {
  const request = "GET / HTTP/1.1\r\nhost: a\r\nx-role: user\r\nx-role: admin\r\nconnection: close\r\n\r\n";
  const names = "allowed_headers: { patterns: [{ exact: x-role }] }";
  const joined = await bench(t, { filter: names });
  await sendRaw(joined.path.port(), request);
  assert.equal(joined.asked[0]?.headers["x-role"], "user,admin");
  const raw = await bench(t, { filter: `${names}\n    encode_raw_headers: true` });
  await sendRaw(raw.path.port(), request);
  const lines = raw.asked[0]?.raw ?? [];
  assert.deepEqual(
    lines.filter((_, i) => lines[i - 1]?.toLowerCase() === "x-role"),
    ["user", "admin"],
  );
});

test("CVE-2026-73547: CONNECT without a path is asked about and breaks nothing", async (t) => {
  const it = await bench(t, { routes: "routes: [{ match: { connect_matcher: {} }, route: { cluster: app } }]" });
  it.answer = (response) => response.writeHead(403).end();
  const text = await sendRaw(it.path.port(), "CONNECT db:3306 HTTP/1.1\r\nhost: db:3306\r\n\r\n");
  assert.match(text, /^HTTP\/1\.1 403 /);
});

const failures: readonly (readonly [string, (response: ServerResponse) => void, RegExp])[] = [
  ["answers 500", (response) => response.writeHead(500).end(), /it answered 500/],
  ["does not answer", () => {}, /no answer within 500 ms/],
  ["hangs up", (response) => response.destroy(), /can't be asked/],
];

for (const [words, answer, cause] of failures) {
  test(`a service that ${words} refuses with 403, or lets pass where that is configured`, async (t) => {
    const closed = await bench(t);
    closed.answer = answer;
    const refused = await ask(closed.path, "/");
    assert.deepEqual([refused.status, refused.body], [403, ""]);
    const log = closed.path.logs.at(-1);
    assert.deepEqual([log?.["responseFlags"], log?.["responseCodeDetails"]], ["UAEX", "ext_authz_error"]);
    assert.match(String(log?.["cause"]), cause);
    assert.equal(closed.stat("http.test.ext_authz.error"), 1);
    const open = await bench(t, { filter: "failure_mode_allow: true\n    failure_mode_allow_header_add: true" });
    open.answer = answer;
    assert.equal(
      (await ask(open.path, "/", { headers: { "x-envoy-auth-failure-mode-allowed": "forged" } })).status,
      200,
    );
    assert.equal(open.served[0]?.headers["x-envoy-auth-failure-mode-allowed"], "true");
    assert.equal(open.stat("http.test.ext_authz.failure_mode_allowed"), 1);
  });
}

test("the status of a failure is configured; a cluster that is not there is a failure", async (t) => {
  const it = await bench(t, { filter: "status_on_error: { code: 503 }" });
  it.path.clusters.remove("authz");
  assert.equal((await ask(it.path, "/")).status, 503);
  assert.match(String(it.path.logs.at(-1)?.["cause"]), /the cluster "authz" does not exist/);
});

test("a body is sent with the question and then to the application; one that is too long is refused", async (t) => {
  const it = await bench(t, { filter: "with_request_body: { max_request_bytes: 10 }\n    failure_mode_allow: true" });
  const post = (body: string, chunked: boolean): ReturnType<typeof ask> =>
    ask(
      it.path,
      "/",
      { method: "POST", headers: chunked ? { "transfer-encoding": "chunked" } : { "content-length": body.length } },
      body,
    );
  for (const chunked of [false, true]) {
    assert.equal((await post("0123456789", chunked)).status, 200);
    const asked = it.asked.at(-1);
    assert.deepEqual(
      [asked?.body, asked?.headers["content-length"], asked?.headers["x-envoy-auth-partial-body"]],
      ["0123456789", "10", "false"],
    );
    assert.equal(it.served.at(-1)?.body, "0123456789");
    const count = it.asked.length;
    const tooLong = await post("0123456789x", chunked);
    assert.deepEqual([tooLong.status, tooLong.body, it.asked.length], [413, "Payload Too Large", count]);
  }
  assert.equal((await ask(it.path, "/")).status, 200);
  assert.equal(it.asked.at(-1)?.headers["x-envoy-auth-partial-body"], undefined);
});

test("a part of a long body is enough where that is allowed, and the whole one arrives", async (t) => {
  const it = await bench(t, { filter: "with_request_body: { max_request_bytes: 10, allow_partial_message: true }" });
  const body = "0123456789".repeat(50_000);
  const answer = await ask(it.path, "/", { method: "POST", headers: { "content-length": body.length } }, body);
  assert.equal(answer.status, 200);
  assert.deepEqual([it.asked[0]?.body, it.asked[0]?.headers["x-envoy-auth-partial-body"]], ["0123456789", "true"]);
  assert.equal(it.served[0]?.body.length, body.length);
  it.answer = (response) => response.writeHead(403).end();
  const denied = await ask(it.path, "/", { method: "POST", headers: { "content-length": 20 } }, "x".repeat(20));
  assert.equal(denied.status, 403);
});

test("a body that the service need not see flows after the answer", async (t) => {
  const it = await bench(t);
  const pending: ServerResponse[] = [];
  it.answer = (response) => void pending.push(response);
  const upload = ask(it.path, "/", { method: "POST", headers: { "content-length": 5 } }, "hello");
  await until(() => pending.length === 1);
  assert.equal(it.served.length, 0);
  pending[0]?.end();
  assert.equal((await upload).status, 200);
  assert.equal(it.served[0]?.body, "hello");
});

test("a request that its client gives up ends the question", async (t) => {
  const it = await bench(t);
  const pending: ServerResponse[] = [];
  let isClosed = false;
  it.answer = (response) => {
    pending.push(response);
    response.on("close", () => (isClosed = true));
  };
  const socket = connect(it.path.port(), "127.0.0.1");
  socket.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  await until(() => pending.length === 1);
  socket.resetAndDestroy();
  await until(() => isClosed);
  assert.equal(it.served.length, 0);
});

const marked = `
- name: rbac
  typed_config:
    "@type": ${types}.rbac.v3.RBAC
    shadow_rules_stat_prefix: istio_ext_authz_
    shadow_rules:
      action: DENY
      policies:
        istio-ext-authz-opa-ns[a]-policy[b]-rule[0]:
          permissions: [{ url_path: { path: { prefix: /admin } } }]
          principals: [{ any: true }]`;
const byMark = `filter_enabled_metadata:
      filter: envoy.filters.http.rbac
      path: [{ key: istio_ext_authz_shadow_effective_policy_id }]
      value: { string_match: { prefix: istio-ext-authz-opa } }`;

test("only requests that shadow rules have marked are asked about, as Istio's CUSTOM policies want it", async (t) => {
  const it = await bench(t, { before: marked, filter: byMark });
  it.answer = (response) => response.writeHead(403).end();
  assert.equal((await ask(it.path, "/shop")).status, 200);
  assert.equal(it.asked.length, 0);
  assert.equal((await ask(it.path, "/admin/x")).status, 403);
  assert.equal(it.asked.length, 1);
  assert.equal(it.stat("http.test.ext_authz.disabled"), 1);
});

test("requests that are not asked about may be denied", async (t) => {
  const it = await bench(t, {
    before: marked,
    filter: `${byMark}\n    deny_at_disable: { default_value: true, runtime_key: k }\n    stat_prefix: waf`,
  });
  const answer = await ask(it.path, "/shop");
  assert.deepEqual([answer.status, it.path.logs.at(-1)?.["responseCodeDetails"]], [403, "ext_authz_error"]);
  assert.equal((await ask(it.path, "/admin")).status, 200);
  assert.equal(it.stat("http.test.ext_authz.waf.ok"), 1);
});

test("a share of the requests is asked about", async (t) => {
  const it = await bench(t, { filter: "filter_enabled: { default_value: { numerator: 0 } }" });
  assert.equal((await ask(it.path, "/")).status, 200);
  assert.equal(it.asked.length, 0);
});

test("a route switches the filter off, or the body", async (t) => {
  const own = (yaml: string): string =>
    `typed_per_filter_config: { ext_authz: { "@type": ${types}.ext_authz.v3.ExtAuthzPerRoute, ${yaml} } }`;
  const it = await bench(t, {
    filter: "with_request_body: { max_request_bytes: 10 }",
    routes: `
routes:
- { match: { prefix: /off }, route: { cluster: app }, ${own("disabled: true")} }
- { match: { prefix: /bodiless }, route: { cluster: app }, ${own("check_settings: { disable_request_body_buffering: true }")} }
- { match: { prefix: /more }, route: { cluster: app }, ${own("check_settings: { with_request_body: { max_request_bytes: 100 } }")} }
- { match: { prefix: / }, route: { cluster: app } }`,
  });
  const post = { method: "POST", headers: { "content-length": 20 } };
  const body = "x".repeat(20);
  assert.equal((await ask(it.path, "/off", post, body)).status, 200);
  assert.equal(it.asked.length, 0);
  assert.equal((await ask(it.path, "/bodiless", post, body)).status, 200);
  assert.equal(it.asked[0]?.body, "");
  assert.equal((await ask(it.path, "/more", post, body)).status, 200);
  assert.equal(it.asked[1]?.body, body);
  assert.equal((await ask(it.path, "/", post, body)).status, 413);
});

test("a changed request chooses its route anew where that is configured", async (t) => {
  const response = "authorization_response: { allowed_upstream_headers: { patterns: [{ exact: x-to }] } }";
  const routes = `
routes:
- { match: { prefix: /, headers: [{ name: x-to, string_match: { exact: other } }] }, direct_response: { status: 418 } }
- { match: { prefix: / }, route: { cluster: app } }`;
  const sticky = await bench(t, { http: response, routes });
  sticky.answer = (to) => to.setHeader("x-to", "other").end();
  assert.equal((await ask(sticky.path, "/")).status, 200);
  const fresh = await bench(t, { http: response, routes, filter: "clear_route_cache: true" });
  fresh.answer = (to) => to.setHeader("x-to", "other").end();
  assert.equal((await ask(fresh.path, "/")).status, 418);
});

test("headers of a good answer may become metadata", async (t) => {
  const check = `
- name: rbac
  typed_config:
    "@type": ${types}.rbac.v3.RBAC
    rules: { policies: { p: { permissions: [{ any: true }], principals: [{ metadata: {
      filter: envoy.filters.http.ext_authz, path: [{ key: x-tier }], value: { string_match: { exact: gold } } } }] } } }`;
  const asked = `
- name: ext_authz
  typed_config:
    "@type": ${types}.ext_authz.v3.ExtAuthz
    http_service:
      server_uri: { uri: "http://authz", cluster: authz, timeout: 0.5s }
      authorization_response: { dynamic_metadata_from_headers: { patterns: [{ exact: x-tier }] } }`;
  let tier = "gold";
  const service = await httpServer((_, response) => response.setHeader("x-tier", tier).end());
  const it = await filterBench({ filters: `${asked}${check}`, upstream: (_, response) => response.end() });
  t.after(() => {
    it.stop();
    service.stop();
  });
  it.path.clusters.update(clusterOn("authz", [service.port]));
  assert.equal((await ask(it.path, "/")).status, 200);
  tier = "tin";
  assert.equal((await ask(it.path, "/")).status, 403);
});

test("a gRPC client sees a refusal as a status", async (t) => {
  const it = await bench(t);
  it.answer = (response) => response.writeHead(403).end("no way");
  const answer = await ask(it.path, "/s/m", { method: "POST", headers: { "content-type": "application/grpc" } });
  assert.deepEqual(
    [answer.status, answer.headers["grpc-status"], answer.headers["grpc-message"]],
    [200, "7", "no way"],
  );
});

test("what is not understood refuses the configuration", async (t) => {
  await assert.rejects(bench(t, { http: "path_prefix: check" }), /"check" is not a path/);
  await assert.rejects(bench(t, { filter: "with_request_body: {}" }), /max_request_bytes: is missing or 0/);
  const nobody = `[{ name: a, typed_config: { "@type": ${types}.ext_authz.v3.ExtAuthz } }]`;
  await assert.rejects(filterBench({ filters: nobody, upstream: () => {} }), /names no service to ask/);
});

test("of several services each is asked about what its own policies have marked", async (t) => {
  const marks = (name: string, path: string): string => `
- name: rbac-${name}
  typed_config:
    "@type": ${types}.rbac.v3.RBAC
    shadow_rules:
      action: DENY
      policies: { "istio-ext-authz-${name}-p": { permissions: [{ url_path: { path: { prefix: ${path} } } }], principals: [{ any: true }] } }
    shadow_rules_stat_prefix: istio_ext_authz_`;
  const enabledFor = (name: string): string => `filter_enabled_metadata:
      filter: envoy.filters.http.rbac
      path: [{ key: istio_ext_authz_shadow_effective_policy_id }]
      value: { string_match: { prefix: istio-ext-authz-${name} } }`;
  const one = `
- name: ext-authz-one
  typed_config:
    "@type": ${types}.ext_authz.v3.ExtAuthz
    http_service: { path_prefix: /one, server_uri: { uri: "http://authz", cluster: authz, timeout: 0.5s } }
    ${enabledFor("one")}`;
  const it = await bench(t, {
    before: `${marks("one", "/a")}${one}${marks("two", "/a/b")}`,
    http: "path_prefix: /two",
    filter: enabledFor("two"),
  });
  const askedFor = async (path: string): Promise<string[]> => {
    it.asked.length = 0;
    assert.equal((await ask(it.path, path)).status, 200);
    return it.asked.map(({ url }) => url);
  };
  assert.deepEqual(await askedFor("/c"), []);
  assert.deepEqual(await askedFor("/a"), ["/one/a"]);
  assert.deepEqual(await askedFor("/a/b"), ["/one/a/b", "/two/a/b"]);
  it.answer = (response, { url }) => response.writeHead(url.startsWith("/two") ? 403 : 200).end();
  assert.equal((await ask(it.path, "/a")).status, 200);
  assert.equal((await ask(it.path, "/a/b")).status, 403);
});
