// The JWT filter on the wire: what it lets through, what it answers, what it changes, and how it gets keys.
import assert from "node:assert/strict";
import type { IncomingHttpHeaders, ServerResponse } from "node:http";
import { after, before, test } from "node:test";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from "jose";
import { parse } from "yaml";
import { JwtAuthenticationSchema } from "#wire/gen/envoy/extensions/filters/http/jwt_authn/v3/config_pb.ts";
import { type HttpConnectionManagerConfig, noHeaderMutations, type RouteFilterConfigs } from "../../../config/http.ts";
import { nackText, Problems } from "../../../config/problems.ts";
import { rbacRules } from "../../../config/testing/resources.ts";
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
import { type Answer, ask, sendRaw, until } from "../../../listener/testing/requests.ts";
import { Stats } from "../../../stats/stats.ts";
import { type JwtRouteSettings, type JwtSettings, parseJwtAuthn } from "./settings.ts";

let app: Awaited<ReturnType<typeof httpServer>>;
let seen: { url: string; headers: IncomingHttpHeaders; count: number };
let issuerServer: Awaited<ReturnType<typeof httpServer>>;
let answerKeys: (response: ServerResponse) => void;
let fetches = 0;
let asked: { url: string; host: string } = { url: "", host: "" };
let keyPair: Awaited<ReturnType<typeof generateKeyPair>>;
let otherPair: Awaited<ReturnType<typeof generateKeyPair>>;
let jwks: string;

before(async () => {
  app = await httpServer((request, response) => {
    seen = { url: request.url ?? "", headers: request.headers, count: (seen?.count ?? 0) + 1 };
    response.end("app");
  });
  issuerServer = await httpServer((request, response) => {
    fetches++;
    asked = { url: request.url ?? "", host: request.headers.host ?? "" };
    answerKeys(response);
  });
  keyPair = await generateKeyPair("ES256");
  otherPair = await generateKeyPair("ES256");
  jwks = JSON.stringify({ keys: [{ ...(await exportJWK(keyPair.publicKey)), kid: "k1" } satisfies JWK] });
});
after(() => {
  app.stop();
  issuerServer.stop();
});

const nowSeconds = (): number => Math.floor(Date.now() / 1000);

type Claims = { readonly [name: string]: unknown };

const token = (claims: Claims = {}, options: { kid?: string; pair?: typeof keyPair } = {}): Promise<string> =>
  new SignJWT({ iss: "good", sub: "jason", exp: nowSeconds() + 600, ...claims } as JWTPayload)
    .setProtectedHeader({ alg: "ES256", kid: options.kid ?? "k1" })
    .sign((options.pair ?? keyPair).privateKey);

function settingsOf(yaml: string): JwtSettings {
  const message = fromJson(JwtAuthenticationSchema, parse(yaml) as JsonValue);
  const problems = new Problems("listener", "test");
  const settings = parseJwtAuthn(message, {
    name: "jwt",
    path: "jwt",
    problems,
    policyOrigins: new Map(),
  });
  const decoded = problems.done(settings);
  assert.equal(nackText(decoded.issues), "");
  return settings;
}

const local = (provider = ""): string =>
  `good: { issuer: good, local_jwks: { inline_string: '${jwks}' }, ${provider} }`;
const always = (requires: string): string => `rules: [{ match: { prefix: / }, requires: { ${requires} } }]`;
const one = (provider = "", more = ""): string =>
  `{ providers: { ${local(provider)} }, ${always("provider_name: good")}, ${more} }`;

interface Served {
  readonly path: TestDataPath;
  readonly get: (headers?: Record<string, string>, target?: string) => Promise<Answer>;
  readonly log: () => Record<string, unknown>;
  readonly counter: (name: string) => number;
}

interface ServeOptions {
  readonly ofRoute?: JwtRouteSettings;
  readonly rbac?: string;
  readonly loop?: Parameters<typeof dataPath>[0];
}

async function served(yaml: string, options: ServeOptions = {}): Promise<Served> {
  const stats = new Stats();
  const path = dataPath({ stats, ...options.loop });
  path.clusters.update(clusterOn("app", [app.port]));
  path.clusters.update(clusterOn("issuer", [issuerServer.port]));
  await path.listeners.update(listenerConfig([chain([httpFilter(managerOf(yaml, options))])]));
  return {
    path,
    get: (headers = {}, target = "/x") => ask(path, target, { headers }),
    log: () => path.logs.at(-1) ?? {},
    counter: (name) => stats.values().find((it) => it.name === `http.test.jwt_authn.${name}`)?.value ?? -1,
  };
}

function managerOf(yaml: string, { ofRoute, rbac }: ServeOptions = {}): HttpConnectionManagerConfig {
  const filters: RouteFilterConfigs | null =
    ofRoute === undefined
      ? null
      : new Map([["jwt_authn", [{ type: "jwt_authn", settings: ofRoute, disabled: false }]]]);
  const clusters = [
    { name: "app", weight: 1, headers: noHeaderMutations, filters, clusterHeader: null, metadataMatch: null },
  ];
  return managerConfig([routeEntry("/", forward("app", { clusters }))], {
    httpFilters: [
      filterConfig("jwt_authn", settingsOf(yaml)),
      ...(rbac === undefined ? [] : [filterConfig("rbac", { rules: rbacRules(rbac), shadowRules: null })]),
      filterConfig("router", {}),
    ],
  });
}

const bearer = (text: string): Record<string, string> => ({ authorization: `Bearer ${text}` });

test("a good token passes, is taken out of the request and counted", async () => {
  const { path, get, counter } = await served(one());
  assert.equal((await get(bearer(await token()))).status, 200);
  assert.equal(seen.headers.authorization, undefined);
  assert.equal(counter("allowed"), 1);
  path.stop();
});

const refusals: readonly (readonly [string, () => Promise<Record<string, string>>, number, string, RegExp])[] = [
  [
    "no token",
    async () => ({}),
    401,
    "Jwt is missing",
    /there is no token of provider good in header authorization or parameter access_token/,
  ],
  ["another scheme", async () => ({ authorization: "Basic abc" }), 401, "Jwt is missing", /no token/],
  [
    "no form of a token",
    async () => bearer("abc"),
    401,
    "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
    /the token in header authorization/,
  ],
  [
    "another issuer",
    async () => bearer(await token({ iss: "evil" })),
    401,
    "Jwt issuer is not configured",
    /is of issuer "evil", and provider good takes "good"/,
  ],
  [
    "a key that nobody knows",
    async () => bearer(await token({}, { kid: "k2" })),
    401,
    "Jwks doesn't have key to match kid or alg from Jwt",
    /is signed with ES256 with key "k2", and provider good has no such key/,
  ],
  [
    "the key of somebody else",
    async () => bearer(await token({}, { pair: otherPair })),
    401,
    "Jwt verification fails",
    /is not signed by a key of provider good/,
  ],
  [
    "a time that is over",
    async () => bearer(await token({ exp: nowSeconds() - 61 })),
    401,
    "Jwt is expired",
    /expired at \d{4}-/,
  ],
  [
    "a time that is to come",
    async () => bearer(await token({ nbf: nowSeconds() + 120 })),
    401,
    "Jwt not yet valid",
    /is valid from \d{4}-.* on/,
  ],
];

for (const [words, headers, status, text, cause] of refusals) {
  test(`a token of ${words} is refused with Envoy's words, details and challenge`, async () => {
    const { path, get, log, counter } = await served(one());
    const before = seen?.count;
    const answer = await get({ host: "shop.example", ...(await headers()) }, "/x?a=1");
    assert.equal(answer.status, status);
    assert.equal(answer.body, text);
    const error = text === "Jwt is missing" ? "" : ', error="invalid_token"';
    assert.equal(answer.headers["www-authenticate"], `Bearer realm="http://shop.example/x?a=1"${error}`);
    assert.equal(log()["responseCodeDetails"], `jwt_authn_access_denied{${text.replaceAll(" ", "_")}}`);
    assert.match(String(log()["cause"]), cause);
    assert.equal(counter("denied"), 1);
    assert.equal(seen?.count, before);
    path.stop();
  });
}

test("a token for others is forbidden, and audiences are compared without scheme and slash", async () => {
  const { path, get, log } = await served(one("audiences: ['https://shop.example/']"));
  assert.equal((await get(bearer(await token({ aud: ["other", "shop.example"] })))).status, 200);
  const answer = await get(bearer(await token({ aud: "other" })));
  assert.deepEqual([answer.status, answer.body], [403, "Audiences in Jwt are not allowed"]);
  assert.match(String(log()["cause"]), /is for "other", and "shop.example" is wanted/);
  assert.equal((await get(bearer(await token()))).status, 403);
  path.stop();
});

test("clock skew, subjects, expiration and lifetime are asked as configured", async () => {
  const check = async (provider: string, claims: Claims, expected: number): Promise<void> => {
    const { path, get } = await served(one(provider));
    assert.equal((await get(bearer(await token(claims)))).status, expected, `${provider} ${JSON.stringify(claims)}`);
    path.stop();
  };
  await check("", { exp: nowSeconds() - 30 }, 200);
  await check("clock_skew_seconds: 10", { exp: nowSeconds() - 30 }, 401);
  await check("subjects: { prefix: jas }", {}, 200);
  await check("subjects: { prefix: mary }", {}, 401);
  await check("require_expiration: true", { exp: undefined }, 401);
  await check("", { exp: undefined }, 200);
  await check("max_lifetime: 60s", {}, 401);
  await check("max_lifetime: 3600s", {}, 200);
  await check("max_lifetime: 3600s", { exp: undefined }, 401);
});

test("tokens stand in headers, parameters and cookies; the first two are taken out unless they are forwarded", async () => {
  const places = "from_headers: [{ name: x-token, value_prefix: 'jwt=' }], from_params: [tok], from_cookies: [session]";
  const { path, get } = await served(one(places));
  const good = await token();
  assert.equal((await get({ "x-token": `jwt=${good}` })).status, 200);
  assert.equal(seen.headers["x-token"], undefined);
  assert.equal((await get({}, `/x?a=1&tok=${good}&b=%202`)).status, 200);
  assert.equal(seen.url, "/x?a=1&b=%202");
  assert.equal((await get({ cookie: `a=b; session=${good}` })).status, 200);
  assert.equal(seen.headers.cookie, `a=b; session=${good}`);
  assert.equal((await get(bearer(good))).status, 401);
  path.stop();
  const forwarding = await served(one("forward: true"));
  assert.equal((await forwarding.get(bearer(good))).status, 200);
  assert.equal(seen.headers.authorization, `Bearer ${good}`);
  assert.equal((await forwarding.get({}, `/x?access_token=${good}`)).status, 200);
  assert.equal(seen.url, `/x?access_token=${good}`);
  forwarding.path.stop();
});

test("every token of a request must be good: repeated headers, parameters and cookies hide none", async () => {
  const { path, get } = await served(
    one("from_headers: [{ name: authorization, value_prefix: 'Bearer ' }], from_params: [t], from_cookies: [c]"),
  );
  const good = await token();
  const bad = await token({}, { pair: otherPair });
  const lines = await sendRaw(
    path.port(),
    `GET / HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${good}\r\nauthorization: bearer ${bad}\r\nconnection: close\r\n\r\n`,
  );
  assert.match(lines, /^HTTP\/1\.1 401 /);
  assert.equal((await get({}, `/?t=${good}&t=${bad}`)).status, 401);
  assert.equal((await get({}, `/?%74=${bad}&t=${good}`)).status, 401);
  assert.equal((await get({ cookie: `c=${good}; c=${bad}` })).status, 401);
  assert.equal((await get({ ...bearer(good), cookie: `c=${bad}` })).status, 401);
  assert.equal((await get({ ...bearer(good), cookie: `c=${good}` })).status, 200);
  path.stop();
});

test("claims go into headers, which no client can write, and never end a line", async () => {
  const { path, get } = await served(
    one(`forward_payload_header: x-payload, claim_to_headers: [
      { header_name: x-sub, claim_name: sub }, { header_name: x-deep, claim_name: a.b },
      { header_name: x-number, claim_name: n }, { header_name: x-list, claim_name: l }, { header_name: x-bad, claim_name: bad }]`),
  );
  const spoofed = { "x-payload": "forged", "x-sub": "root", "x-deep": "root", "x-list": "root" };
  const good = await token({ a: { b: "jürgen" }, n: 7, l: ["x"], bad: "a\r\nx-admin: 1" });
  assert.equal((await get({ ...bearer(good), ...spoofed })).status, 200);
  assert.equal(seen.headers["x-payload"], good.split(".")[1]);
  assert.equal(seen.headers["x-sub"], "jason");
  assert.equal(Buffer.from(String(seen.headers["x-deep"]), "latin1").toString(), "jürgen");
  assert.equal(seen.headers["x-number"], "7");
  assert.equal(seen.headers["x-list"], undefined);
  assert.equal(seen.headers["x-bad"], undefined);
  assert.equal(seen.headers["x-admin"], undefined);
  path.stop();
  const padded = await served(one("forward_payload_header: x-payload, pad_forward_payload_header: true"));
  await padded.get(bearer(await token({ pad: "1" })));
  assert.equal(String(seen.headers["x-payload"]).length % 4, 0);
  padded.path.stop();
});

test("claims in metadata are what RBAC behind it decides by, lists and nested ones too", async () => {
  const claim = (path: string, value: string): string =>
    `{ policies: { p: { permissions: [{ any: true }], principals: [{ metadata: { filter: envoy.filters.http.jwt_authn, path: [{ key: payload }, ${path}], value: { ${value} } } }] } } }`;
  const list = "list_match: { one_of: { string_match: { exact: write } } }";
  const { path, get, log } = await served(
    one("payload_in_metadata: payload, normalize_payload_in_metadata: { space_delimited_claims: [scope] }"),
    { rbac: claim("{ key: scope }", list) },
  );
  assert.equal((await get(bearer(await token({ scope: "read write" })))).status, 200);
  assert.equal((await get(bearer(await token({ scope: "read" })))).status, 403);
  assert.equal(log()["responseCodeDetails"], "rbac_access_denied_matched_policy[none]");
  path.stop();
  const nested = await served(one("payload_in_metadata: payload"), {
    rbac: claim("{ key: realm }, { key: roles }", "list_match: { one_of: { string_match: { exact: admin } } }"),
  });
  assert.equal((await nested.get(bearer(await token({ realm: { roles: ["a", "admin"] } })))).status, 200);
  assert.equal((await nested.get(bearer(await token({ realm: { roles: ["a"] } })))).status, 403);
  nested.path.stop();
});

const two = (): string => `good: { issuer: good, local_jwks: { inline_string: '${jwks}' } },
  other: { issuer: other, local_jwks: { inline_string: '${jwks}' }, from_headers: [{ name: x-other }] }`;

const trees: readonly (readonly [string, string, Readonly<Record<string, string | null>>])[] = [
  [
    "any of two",
    "requires_any: { requirements: [{ provider_name: good }, { provider_name: other }] }",
    {
      none: "Jwt is missing",
      good: null,
      other: null,
      bad: "Jwt verification fails",
      stranger: "Jwt issuer is not configured",
    },
  ],
  [
    "all of two",
    "requires_all: { requirements: [{ provider_name: good }, { provider_name: other }] }",
    { none: "Jwt is missing", good: "Jwt is missing", both: null },
  ],
  [
    "one or none",
    "requires_any: { requirements: [{ provider_name: good }, { allow_missing: {} }] }",
    { none: null, good: null, bad: "Jwt verification fails", stranger: "Jwt issuer is not configured" },
  ],
  [
    "one, none or a bad one",
    "requires_any: { requirements: [{ provider_name: good }, { allow_missing_or_failed: {} }] }",
    { none: null, good: null, bad: null, stranger: null },
  ],
  [
    "any that is not bad",
    "allow_missing: {}",
    { none: null, good: null, other: null, bad: "Jwt verification fails", stranger: "Jwt issuer is not configured" },
  ],
  ["anything", "allow_missing_or_failed: {}", { none: null, bad: null, stranger: null }],
  [
    "an audience of the rule",
    "provider_and_audiences: { provider_name: good, audiences: [aud] }",
    { good: "Audiences in Jwt are not allowed" },
  ],
];

for (const [words, requires, cases] of trees) {
  test(`a requirement of ${words} tells missing, bad and foreign tokens apart`, async () => {
    const { path, get } = await served(`{ providers: { ${two()} }, ${always(requires)} }`);
    const headers: Readonly<Record<string, Record<string, string>>> = {
      none: {},
      good: bearer(await token()),
      other: { "x-other": await token({ iss: "other" }) },
      both: { ...bearer(await token()), "x-other": await token({ iss: "other" }) },
      bad: bearer(await token({}, { pair: otherPair })),
      stranger: bearer(await token({ iss: "stranger" })),
    };
    for (const [name, expected] of Object.entries(cases)) {
      const answer = await get(headers[name]);
      assert.equal(answer.status === 200 ? null : answer.body, expected, name);
    }
    path.stop();
  });
}

test("the first rule that matches says what a request needs; without one it needs nothing", async () => {
  const { path, get } = await served(`{ providers: { ${local()} }, rules: [
    { match: { path: /health } },
    { match: { prefix: /admin, headers: [{ name: x-internal, present_match: true }] } },
    { match: { prefix: /admin }, requires: { provider_name: good } },
    { match: { path: /exact }, requirement_name: named },
  ], requirement_map: { named: { provider_name: good } } }`);
  assert.equal((await get({}, "/health")).status, 200);
  assert.equal((await get({}, "/other")).status, 200);
  assert.equal((await get({}, "/admin/x")).status, 401);
  assert.equal((await get({ "x-internal": "1" }, "/admin/x")).status, 200);
  assert.equal((await get({}, "/exact")).status, 401);
  assert.equal((await get({}, "/exact?q")).status, 401);
  path.stop();
});

test("CVE-2026-73511: a path parameter does not take a request out of its rule", async () => {
  const { path, get } = await served(
    `{ providers: { ${local()} }, rules: [{ match: { path: /admin }, requires: { provider_name: good } }] }`,
  );
  assert.equal((await get({}, "/admin;x=1")).status, 401);
  assert.equal((await get({}, "/other;x=1")).status, 200);
  path.stop();
});

test("CVE-2026-73547: CONNECT, which has no path, is asked for its token too", async () => {
  const { path } = await served(
    `{ providers: { ${local()} }, rules: [{ match: { connect_matcher: {} }, requires: { provider_name: good } }] }`,
  );
  const answer = await sendRaw(path.port(), "CONNECT db:3306 HTTP/1.1\r\nhost: db:3306\r\nconnection: close\r\n\r\n");
  assert.match(answer, /^HTTP\/1\.1 (401|403) /);
  path.stop();
});

test("a route switches the filter off or names another requirement; a name that nobody knows is refused", async () => {
  const yaml = one("", "requirement_map: { lax: { allow_missing: {} } }");
  const off = await served(yaml, { ofRoute: { disabled: true } });
  assert.equal((await off.get()).status, 200);
  off.path.stop();
  const lax = await served(yaml, { ofRoute: { disabled: false, name: "lax" } });
  assert.equal((await lax.get()).status, 200);
  lax.path.stop();
  const wrong = await served(yaml, { ofRoute: { disabled: false, name: "typo" } });
  const answer = await wrong.get(bearer(await token()));
  assert.equal(answer.status, 403);
  assert.match(answer.body, /^Failed JWT authentication: Wrong requirement_name: typo\. It should be one of \[lax\]$/);
  wrong.path.stop();
});

test("a CORS preflight passes without a token when it may", async () => {
  const preflight = { origin: "http://a", "access-control-request-method": "GET" };
  const { path, counter } = await served(one("", "bypass_cors_preflight: true"));
  assert.equal((await ask(path, "/", { method: "OPTIONS", headers: preflight })).status, 200);
  assert.equal((await ask(path, "/", { method: "OPTIONS" })).status, 401);
  assert.equal((await ask(path, "/", { method: "GET", headers: preflight })).status, 401);
  assert.equal(counter("cors_preflight_bypassed"), 1);
  path.stop();
});

test("a stripped failure says nothing to the client, and the log all the same", async () => {
  const { path, get, log } = await served(one("", "strip_failure_response: true"));
  const answer = await get();
  assert.deepEqual([answer.status, answer.body, answer.headers["www-authenticate"]], [401, "", undefined]);
  assert.equal(log()["responseCodeDetails"], "jwt_authn_access_denied{Jwt_is_missing}");
  path.stop();
});

test("a gRPC client sees UNAUTHENTICATED", async () => {
  const { path } = await served(one());
  const answer = await ask(path, "/s/m", { method: "POST", headers: { "content-type": "application/grpc" } });
  assert.deepEqual(
    [answer.status, answer.headers["grpc-status"], answer.headers["grpc-message"]],
    [200, "16", "Jwt is missing"],
  );
  path.stop();
});

test("a verified token is remembered, and its time is asked again", async () => {
  let now = Date.now();
  const { path, get, counter } = await served(one(), { loop: { now: () => now } });
  const good = bearer(await token({ exp: nowSeconds() + 10 }));
  assert.equal((await get(good)).status, 200);
  assert.equal((await get(good)).status, 200);
  assert.deepEqual([counter("jwt_cache_hit"), counter("jwt_cache_miss")], [1, 1]);
  now += 120_000;
  assert.equal((await get(good)).body, "Jwt is expired");
  path.stop();
});

const remote = (more = ""): string =>
  `{ providers: { good: { issuer: good, remote_jwks: { http_uri: { uri: "https://issuer.example/keys?v=1", cluster: issuer, timeout: 0.5s }, ${more} } } }, ${always("provider_name: good")} }`;

test("keys are fetched through the cluster, once for all who wait, and kept", async () => {
  fetches = 0;
  const pending: ServerResponse[] = [];
  answerKeys = (response) => pending.push(response);
  const { path, get, counter } = await served(remote());
  const good = bearer(await token());
  const answers = [get(good), get(good), get(good)];
  await until(() => pending.length === 1);
  pending[0]?.end(jwks);
  for (const answer of await Promise.all(answers)) assert.equal(answer.status, 200);
  assert.equal((await get(good)).status, 200);
  assert.equal(fetches, 1);
  assert.deepEqual(asked, { url: "/keys?v=1", host: "issuer.example" });
  assert.equal(counter("jwks_fetch_success"), 1);
  path.stop();
});

test("CVE-2026-31837: without keys nothing is accepted, and the log says which address failed and how", async () => {
  const failures: readonly (readonly [string, (response: ServerResponse) => void, RegExp])[] = [
    ["an error", (response) => response.writeHead(503).end(), /it answered 503/],
    ["no JSON", (response) => response.end("<html>"), /Jwks is an invalid JSON/],
    ["no keys", (response) => response.end('{"keys":[]}'), /doesn't have any valid public key/],
    ["silence", () => {}, /no answer within 500 ms/],
    ["a flood", (response) => response.end("x".repeat(1_100_000)), /longer than 1048576 bytes/],
  ];
  for (const [words, answer, cause] of failures) {
    answerKeys = answer;
    const { path, get, log, counter } = await served(remote());
    const refused = await get(bearer(await token()));
    assert.deepEqual([refused.status, refused.body], [401, "Jwks remote fetch is failed"], words);
    assert.equal(log()["responseCodeDetails"], "jwt_authn_access_denied{Jwks_remote_fetch_is_failed}");
    assert.match(
      String(log()["cause"]),
      /keys of provider good are missing: https:\/\/issuer\.example\/keys\?v=1 through cluster issuer/,
    );
    assert.match(String(log()["cause"]), cause);
    assert.equal(counter("jwks_fetch_failed"), 1, words);
    path.stop();
  }
});

test("an issuer whose cluster is not there refuses, and other requests are served meanwhile", async () => {
  const { path, get, log } = await served(remote().replace("cluster: issuer", "cluster: nowhere"));
  assert.equal((await get(bearer(await token()))).body, "Jwks remote fetch is failed");
  assert.match(String(log()["cause"]), /the cluster "nowhere" does not exist/);
  assert.equal((await get()).body, "Jwt is missing");
  path.stop();
});

test("GHSA-fgw5-hp8f-xfhc: an address of keys goes to its cluster, whatever host it names", async () => {
  answerKeys = (response) => response.end(jwks);
  const { path, get } = await served(
    remote().replace("https://issuer.example/keys?v=1", "http://169.254.169.254/latest"),
  );
  assert.equal((await get(bearer(await token()))).status, 200);
  assert.deepEqual(asked, { url: "/latest", host: "169.254.169.254" });
  path.stop();
});

test("a failed fetch is not repeated at once, and then it is", async () => {
  let now = Date.now();
  fetches = 0;
  answerKeys = (response) => response.writeHead(404).end();
  const { path, get } = await served(remote(), { loop: { now: () => now } });
  const good = bearer(await token());
  for (let i = 0; i < 5; i++) assert.equal((await get(good)).status, 401);
  assert.equal(fetches, 1);
  answerKeys = (response) => response.end(jwks);
  now += 1001;
  assert.equal((await get(good)).status, 200);
  assert.equal(fetches, 2);
  path.stop();
});

test("a retry policy asks again before it gives up", async () => {
  fetches = 0;
  answerKeys = (response) => (fetches < 3 ? response.writeHead(500).end() : response.end(jwks));
  const retries = "retry_policy: { num_retries: 2, retry_back_off: { base_interval: 0.01s, max_interval: 0.02s } }";
  const { path, get } = await served(remote(retries));
  assert.equal((await get(bearer(await token()))).status, 200);
  assert.equal(fetches, 3);
  path.stop();
});

test("with async_fetch keys are there before the first request asks, and the listener does not wait for them", async () => {
  fetches = 0;
  answerKeys = () => {};
  const stuck = await served(remote("async_fetch: {}"));
  assert.equal((await stuck.get()).body, "Jwt is missing");
  await until(() => fetches === 1);
  stuck.path.stop();
  fetches = 0;
  answerKeys = (response) => response.end(jwks);
  const eager = await served(remote("async_fetch: { fast_listener: true }"));
  assert.equal((await eager.get()).status, 401);
  await until(() => eager.counter("jwks_fetch_success") === 1);
  assert.equal((await eager.get(bearer(await token()))).status, 200);
  assert.equal(fetches, 1);
  eager.path.stop();
});

test("keys that are about to expire are fetched while they still serve, and new keys forget verified tokens", async () => {
  let now = Date.now();
  fetches = 0;
  answerKeys = (response) => response.end(jwks);
  const { path, get, counter } = await served(remote("cache_duration: 60s"), { loop: { now: () => now } });
  const good = bearer(await token({ exp: nowSeconds() + 6000 }));
  assert.equal((await get(good)).status, 200);
  now += 56_000;
  answerKeys = (response) => response.end(JSON.stringify({ keys: [] }));
  assert.equal((await get(good)).status, 200);
  await until(() => counter("jwks_fetch_failed") === 1);
  assert.equal(fetches, 2);
  assert.equal((await get(good)).status, 200);
  now += 5000;
  assert.equal((await get(good)).body, "Jwks remote fetch is failed");
  path.stop();
});

test("a configuration that comes anew goes on with the keys that are there", async () => {
  fetches = 0;
  answerKeys = (response) => response.end(jwks);
  const { path, get } = await served(remote());
  const good = bearer(await token());
  assert.equal((await get(good)).status, 200);
  answerKeys = (response) => response.writeHead(503).end();
  for (let i = 0; i < 3; i++) {
    await path.listeners.update(listenerConfig([chain([httpFilter(managerOf(remote()))])]));
    assert.equal((await get(good)).status, 200);
  }
  assert.equal(fetches, 1);
  path.stop();
});

test("a client that leaves while keys are fetched harms nobody", async () => {
  const pending: ServerResponse[] = [];
  answerKeys = (response) => pending.push(response);
  const { path, get } = await served(remote());
  const good = await token();
  const controller = new AbortController();
  const left = ask(path, "/", { headers: bearer(good), signal: controller.signal }).catch(() => "left");
  const stays = get(bearer(good));
  await until(() => pending.length === 1);
  controller.abort();
  assert.equal(await left, "left");
  pending[0]?.end(jwks);
  assert.equal((await stays).status, 200);
  path.stop();
});

test("a body that comes while keys are fetched is held and not lost", async () => {
  const pending: ServerResponse[] = [];
  answerKeys = (response) => pending.push(response);
  const { path } = await served(remote());
  const upload = ask(
    path,
    "/",
    { method: "POST", headers: { ...bearer(await token()), "content-length": 5 } },
    "hello",
  );
  await until(() => pending.length === 1);
  pending[0]?.end(jwks);
  assert.equal((await upload).status, 200);
  assert.equal(seen.headers["content-length"], "5");
  path.stop();
});

test("providers that the configuration's own text gives no keys refuse, with the reason", async () => {
  const { path, get, log } = await served(
    `{ providers: { good: { issuer: good, local_jwks: { inline_string: '{"keys":[]}' } } }, ${always("provider_name: good")} }`,
  );
  assert.equal((await get(bearer(await token()))).body, "Jwks doesn't have any valid public key");
  assert.match(String(log()["cause"]), /provider good has no keys/);
  path.stop();
});

test("what is not understood refuses the configuration", () => {
  const refusal = (yaml: string): string => {
    const problems = new Problems("listener", "l");
    const message = fromJson(JwtAuthenticationSchema, parse(yaml) as JsonValue);
    parseJwtAuthn(message, { name: "jwt", path: "jwt", problems, policyOrigins: new Map() });
    return nackText(problems.done(null).issues);
  };
  assert.match(refusal(`{ providers: { a: {} } }`), /names no source of keys/);
  assert.match(refusal(`{ ${always("provider_name: typo")} }`), /"typo" is not among the providers/);
  assert.match(
    refusal(`{ rules: [{ match: { prefix: / }, requirement_name: typo }] }`),
    /"typo" is not in requirement_map/,
  );
  assert.match(
    refusal(`{ providers: { a: { remote_jwks: { http_uri: { uri: "ftp://x y", cluster: c, timeout: 1s } } } } }`),
    /is not an HTTP address/,
  );
  assert.match(
    refusal(`{ providers: { a: { remote_jwks: { http_uri: { uri: "http://x" } } } } }`),
    /http_uri\.cluster: is missing/,
  );
  assert.match(refusal(`{ filter_state_rules: { name: x } }`), /filter state is not supported/);
  assert.match(refusal(`{ providers: { a: { local_jwks: { filename: /no/such/file } } } }`), /can't be read/);
});
