import assert from "node:assert/strict";
import { test } from "node:test";
import { parseClaims, parseIdentity, parseRequest } from "./question.ts";

test("a URL gives host, port, authority and path as it is written; the scheme may be left out", () => {
  assert.deepEqual(parseRequest("get", "reviews:9080/a/../b?c=%2e#d", { header: ["End-User: jason"] }), {
    application: "http",
    method: "GET",
    host: "reviews",
    port: 9080,
    authority: "reviews:9080",
    path: "/a/../b?c=%2e#d",
    headers: { "end-user": "jason" },
    tls: null,
  });
  assert.equal(parseRequest("GET", "http://[::1]/").host, "::1");
  assert.equal(parseRequest("GET", "http://10.0.0.1", { header: ["Host: a.example"] }).authority, "a.example");
});

test("https is TLS with the host as server name, unless the host is an address", () => {
  const { port, tls, application } = parseRequest("GET", "https://a.example");
  assert.deepEqual([port, application, tls], [443, "http", { serverName: "a.example", alpn: ["h2", "http/1.1"] }]);
  assert.equal(parseRequest("GET", "https://10.0.0.1").tls?.serverName, "");
  const flags = { protocol: "tls", sni: "b", alpn: ["h2"] };
  assert.deepEqual(parseRequest("GET", "a:8443", flags).tls, { serverName: "b", alpn: ["h2"] });
  assert.equal(parseRequest("TCP", "mysql:3306").application, "tcp");
});

test("what is no URL, header or protocol is told with how to write it", () => {
  for (const url of ["http://", "a:0", "a:99999", "ftp://a"]) {
    assert.throws(() => parseRequest("GET", url), /is not a URL; write it as http:/, url);
  }
  assert.throws(() => parseRequest("GET", "http://a", { header: ["nonsense"] }), /is not a header; write it as/);
  assert.throws(
    () => parseRequest("GET", "http://a", { protocol: "udp" }),
    /the protocol is http, tcp, tls, not "udp"/,
  );
});

test("claims are one JSON object", () => {
  assert.deepEqual(parseClaims('{"iss": "me", "groups": ["a"]}'), { iss: "me", groups: ["a"] });
  for (const text of ["", "[]", '"x"', "{"]) assert.throws(() => parseClaims(text), /are no claims; write them as/);
});

test("an identity may leave out what is known", () => {
  const whole = "spiffe://td/ns/a/sa/b";
  assert.deepEqual(
    [whole, "td/ns/a/sa/b", "a/b"].map((text) => parseIdentity(text, "td")),
    [whole, whole, whole],
  );
  assert.throws(() => parseIdentity("b", "td"), /"b" is no identity; write it as spiffe:/);
});
