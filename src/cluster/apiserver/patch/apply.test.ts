import assert from "node:assert/strict";
import { test } from "node:test";
import { hasCode } from "#base/error.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { applyConfiguration } from "./apply.ts";

const time = "2026-01-01T00:00:00Z";

function apply(
  stored: KubernetesObject | undefined,
  given: Record<string, unknown>,
  manager = "me",
  force = false,
): KubernetesObject {
  const metadata = { name: "x", ...Object(given["metadata"]) };
  return applyConfiguration(
    stored,
    { apiVersion: "v1", kind: "ConfigMap", ...given, metadata },
    { manager, force, time },
  );
}

const virtualService = (http: unknown, extra = {}): Record<string, unknown> => ({
  apiVersion: "networking.istio.io/v1",
  kind: "VirtualService",
  spec: { hosts: ["reviews"], http, ...extra },
});

test("what was applied before and is not any more goes", () => {
  const first = apply(undefined, { data: { a: "1", b: "2" }, metadata: { labels: { x: "y" } } });
  const second = apply(first, { data: { a: "3" } });
  assert.deepEqual(second["data"], { a: "3" });
  assert.equal(second.metadata.labels, undefined);
});

test("what others set stays", () => {
  const first = apply(undefined, { data: { a: "1" } });
  const changed = { ...first, data: { a: "1", theirs: "2" }, status: { ok: true } };
  assert.deepEqual(apply(changed, { data: { b: "3" } })["data"], { theirs: "2", b: "3" });
});

test("what another manager applies too stays when one gives it up", () => {
  const mine = apply(undefined, { data: { shared: "1", own: "2" } });
  const both = apply(mine, { data: { shared: "1" } }, "other");
  assert.deepEqual(apply(both, {})["data"], { shared: "1" });
});

test("a list without keys is one value: removing a route from it removes the route", () => {
  const first = apply(undefined, virtualService([{ name: "a" }, { name: "b" }], { gateways: ["g"] }));
  const second = apply(first, virtualService([{ name: "b" }]));
  assert.deepEqual(second["spec"], { hosts: ["reviews"], http: [{ name: "b" }] });
});

test("containers are merged by name and ports by port and protocol", () => {
  const pod = (containers: unknown): Record<string, unknown> => ({ kind: "Pod", spec: { containers } });
  const first = apply(undefined, pod([{ name: "app", image: "1", env: [{ name: "A", value: "1" }] }]));
  const containers = [
    { name: "app", image: "1", env: [{ name: "A", value: "1" }], imagePullPolicy: "Always" },
    { name: "injected", image: "2" },
  ];
  const next = apply({ ...first, spec: { containers } }, pod([{ name: "app", image: "2" }]));
  assert.deepEqual(next["spec"], {
    containers: [
      { name: "app", image: "2", imagePullPolicy: "Always" },
      { name: "injected", image: "2" },
    ],
  });
  const ports = [
    { port: 53, protocol: "UDP" },
    { port: 53, protocol: "TCP" },
  ];
  assert.deepEqual(apply(undefined, { kind: "Service", spec: { ports } })["spec"], { ports });
});

test("changing what another manager set is a conflict, unless it is forced", () => {
  const theirs = apply(undefined, { data: { a: "1" } }, "other");
  assert.throws(
    () => apply(theirs, { data: { a: "2" } }),
    (error) => hasCode(error, "CONFLICT") && /conflict with "other": \.data\.a/.test(String(error)),
  );
  assert.deepEqual(apply(theirs, { data: { a: "1", b: "2" } })["data"], { a: "1", b: "2" });
  assert.deepEqual(apply(theirs, { data: { a: "2" } }, "me", true)["data"], { a: "2" });
});

test("applying the same again changes nothing, not even the time", () => {
  const first = apply(undefined, { data: { a: "1" } });
  assert.deepEqual(apply(first, { data: { a: "1" } }), first);
});
