import assert from "node:assert/strict";
import { test } from "node:test";
import type { MeshObject } from "../../objects/mesh-object.ts";
import { objectOf, problemsOf } from "../../objects/testing/objects.ts";
import { peerAuthentication } from "./kind.ts";
import { inboundMtls, inboundMtlsMode } from "./resolve.ts";
import type { PeerAuthenticationSpec } from "./spec.ts";

const policy = (spec: unknown, createdAt = 0): MeshObject<PeerAuthenticationSpec> =>
  objectOf(peerAuthentication, { spec, createdAt });
const mode = (value: string): unknown => ({ mtls: { mode: value } });
const selecting = (value: string, portLevelMtls?: object): unknown => ({
  selector: { matchLabels: { app: "web" } },
  mtls: { mode: value },
  ...(portLevelMtls !== undefined && { portLevelMtls }),
});
const web = { app: "web" };

test("without policies a workload takes both", () => {
  assert.deepEqual(inboundMtlsMode({ root: [], own: [] }, web), { mode: "PERMISSIVE", policy: undefined });
});

test("the namespace outranks the mesh, the workload outranks the namespace", () => {
  const root = [policy(mode("STRICT"))];
  const namespace = policy(mode("DISABLE"));
  const workload = policy(selecting("PERMISSIVE"));
  assert.equal(inboundMtlsMode({ root, own: [] }, web).mode, "STRICT");
  assert.equal(inboundMtlsMode({ root, own: [namespace] }, web).mode, "DISABLE");
  assert.equal(inboundMtlsMode({ root, own: [namespace, workload] }, web).mode, "PERMISSIVE");
  assert.equal(inboundMtlsMode({ root, own: [namespace, workload] }, { app: "other" }).mode, "DISABLE");
});

test("UNSET inherits at every level", () => {
  const root = [policy(mode("STRICT"))];
  const own = [
    policy(mode("UNSET")),
    policy(selecting("UNSET", { "80": { mode: "UNSET" }, "81": { mode: "DISABLE" } })),
  ];
  const answer = inboundMtls({ root, own }, web);
  assert.equal(answer.mode, "STRICT");
  assert.equal(answer.policy, root[0]);
  assert.equal(answer.ports.get(80)?.mode, "STRICT");
  assert.equal(answer.ports.get(81)?.mode, "DISABLE");
  assert.equal(answer.ports.get(81)?.policy, own[1]);
});

test("of several policies for the same scope the first, the oldest, counts", () => {
  const own = [policy(mode("STRICT")), policy(mode("DISABLE"), 1)];
  assert.equal(inboundMtlsMode({ root: [], own }, web).mode, "STRICT");
});

test("a selector in the root namespace has no effect", () => {
  assert.equal(inboundMtlsMode({ root: [policy(selecting("STRICT"))], own: [] }, web).mode, "PERMISSIVE");
});

test("ports need a selector and real numbers", () => {
  assert.deepEqual(problemsOf(peerAuthentication, { portLevelMtls: { "80": { mode: "STRICT" } } }), [
    "spec.portLevelMtls: portLevelMtls needs a selector: ports belong to workloads",
  ]);
  assert.deepEqual(problemsOf(peerAuthentication, selecting("STRICT", { http: { mode: "STRICT" } })), [
    'spec.portLevelMtls["http"]: "http" is not a port',
  ]);
  assert.deepEqual(problemsOf(peerAuthentication, mode("STRIKT")), [
    'spec.mtls.mode: "STRIKT" is not one of UNSET, DISABLE, PERMISSIVE, STRICT',
  ]);
});
