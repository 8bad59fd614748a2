import assert from "node:assert/strict";
import { test } from "node:test";
import { Headers } from "../http/headers.ts";
import { properCase, serializeProperCase } from "./proper-case.ts";

test("words of a name begin with a capital, as Envoy's documentation shows it", () => {
  assert.equal(properCase("content-type"), "Content-Type");
  assert.equal(properCase("foo$b#$are"), "Foo$B#$Are");
  assert.equal(properCase("TE"), "Te");
  assert.equal(properCase("x-b3-traceid"), "X-B3-Traceid");
});

test("values and the order of lines stay", () => {
  const headers = new Headers();
  headers.add("x-ONE", "Value One");
  headers.add("gone", "1");
  headers.add("set-cookie", "a=b");
  headers.remove("gone");
  assert.equal(serializeProperCase(headers), "X-One: Value One\r\nSet-Cookie: a=b\r\n");
});
