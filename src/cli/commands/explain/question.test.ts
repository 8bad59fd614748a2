import assert from "node:assert/strict";
import { test } from "node:test";
import { parseClaims, parseRequest } from "./question.ts";

test("a URL gives host, port, authority and path; the scheme may be left out", () => {
  assert.deepEqual(parseRequest("get", "reviews:9080/a?b=c", ["End-User: jason"]), {
    method: "GET",
    host: "reviews",
    port: 9080,
    authority: "reviews:9080",
    path: "/a?b=c",
    headers: { "end-user": "jason" },
  });
  assert.equal(parseRequest("GET", "https://a", []).port, 443);
  assert.equal(parseRequest("GET", "http://[::1]/", []).host, "::1");
  assert.equal(parseRequest("GET", "http://10.0.0.1", ["Host: a.example"]).authority, "a.example");
});

test("what is no URL or no header is told with how to write it", () => {
  assert.throws(() => parseRequest("GET", "http://", []), /is not a URL; write it as http:/);
  assert.throws(() => parseRequest("GET", "http://a", ["nonsense"]), /is not a header; write it as 'name: value'/);
});

test("claims are one JSON object", () => {
  assert.deepEqual(parseClaims('{"iss": "me", "groups": ["a"]}'), { iss: "me", groups: ["a"] });
  for (const text of ["", "[]", '"x"', "{"]) assert.throws(() => parseClaims(text), /are no claims; write them as/);
});
