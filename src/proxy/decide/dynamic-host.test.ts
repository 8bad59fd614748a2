// Which host an authority or server name means, and which are none.
import assert from "node:assert/strict";
import { test } from "node:test";
import { dynamicHost } from "./dynamic-host.ts";

test("a host has one form, whatever the client writes", () => {
  assert.deepEqual(dynamicHost("API.Example.com.", 443), {
    key: "api.example.com:443",
    host: "api.example.com",
    port: 443,
  });
  assert.equal(dynamicHost("api.example.com:8080", 443)?.key, "api.example.com:8080");
  assert.equal(dynamicHost("10.0.0.7", 80)?.key, "10.0.0.7:80");
  assert.deepEqual(dynamicHost("[FD00::1]:81", 80), { key: "[fd00::1]:81", host: "FD00::1", port: 81 });
});

test("what no resolver could be asked for is no host", () => {
  for (const text of [
    "",
    ".",
    "a b",
    "a/b",
    "a:b",
    "a:0",
    "a:65536",
    "fd00::1",
    "[fd00::1",
    "[nope]:80",
    "a@b",
    "a\n",
  ]) {
    assert.equal(dynamicHost(text, 80), null, JSON.stringify(text));
  }
  assert.equal(dynamicHost("a".repeat(254), 80), null);
});
