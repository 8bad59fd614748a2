import assert from "node:assert/strict";
import { test } from "node:test";
import { problemsOf } from "../../objects/testing/objects.ts";
import { listenerSet } from "./kind.ts";

test("a ListenerSet names a Gateway and has listeners", () => {
  const listeners = [{ name: "a", port: 80, protocol: "HTTP" }];
  assert.deepEqual(problemsOf(listenerSet, { parentRef: { name: "web" }, listeners }), []);
  assert.deepEqual(problemsOf(listenerSet, { parentRef: { name: "web" } }), [
    "spec.listeners: at least one listener is needed",
  ]);
  assert.deepEqual(problemsOf(listenerSet, { parentRef: { kind: "Service", name: "web" }, listeners }), [
    "spec.parentRef: a ListenerSet attaches to a Gateway, not to a Service",
  ]);
  assert.deepEqual(problemsOf(listenerSet, { listeners }), ["spec.parentRef.name: the name of a Gateway is needed"]);
});
