import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGatewayAddress } from "./gateway-address.ts";

test("a gateway address is a port, with a host in front where it is not this machine alone", () => {
  assert.deepEqual(parseGatewayAddress("8080"), { host: "127.0.0.1", port: 8080 });
  assert.deepEqual(parseGatewayAddress("0"), { host: "127.0.0.1", port: 0 });
  assert.deepEqual(parseGatewayAddress("0.0.0.0:80"), { host: "0.0.0.0", port: 80 });
  assert.deepEqual(parseGatewayAddress("localhost:65535"), { host: "localhost", port: 65535 });
  assert.deepEqual(parseGatewayAddress("[::1]:8080"), { host: "::1", port: 8080 });
});

test("a host without a port, or a port that does not exist, is no address", () => {
  for (const text of ["", "x", "localhost:", ":80", "70000", "-1", "1.5", "8e3", "::1:80", "[]:80", "a b:80"]) {
    assert.equal(parseGatewayAddress(text), undefined, text);
  }
});
