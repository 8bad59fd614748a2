// From each mutual TLS mode to each other: at no moment does a client send what the server does not take, whichever of the
// two has heard of the next step first.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { mesh, service, sidecarOf, workload } from "#mesh/compile/testing/mesh.ts";
import {
  firstStep,
  isNarrowing,
  type MtlsStep,
  type MtlsTransition,
  transitionSnapshot,
} from "#mesh/snapshot/mtls-transition.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { Views } from "../commands/explain/hop.ts";
import { clientUses, judgeTls } from "./client-tls.ts";

const ports = [{ name: "http", number: 80, target: 8080 }];
const server = sidecarOf("api", "10.244.0.1");
const client = sidecarOf("shop", "10.244.0.2");
const identity = "spiffe://cluster.local/ns/default/sa/bookinfo-shop";

function meshWith(policy: string): MeshSnapshot {
  const objects = [
    service("api", "10.96.0.1", ports),
    ...workload("api", ports, { ip: "10.244.0.1" }),
    ...workload("shop", [], { ip: "10.244.0.2" }),
  ];
  return mesh(objects, policy);
}

const peers = (spec: string): string => `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: ${spec}
`;
const policies: Readonly<Record<string, string>> = {
  nothing: "",
  DISABLE: peers("{mtls: {mode: DISABLE}}"),
  PERMISSIVE: peers("{mtls: {mode: PERMISSIVE}}"),
  STRICT: peers("{mtls: {mode: STRICT}}"),
  "STRICT, port DISABLE": peers(
    "{selector: {matchLabels: {app: api}}, mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: DISABLE}}}",
  ),
};

/** Every snapshot that proxies are given, from the first to the last. */
function stepsOf(before: MeshSnapshot, next: MeshSnapshot): MeshSnapshot[] {
  const transition: MtlsTransition = { next, before: [before], clients: before };
  const first = firstStep(transition, [server, client]);
  const steps: MtlsStep[] =
    first === undefined
      ? []
      : first === "widen" && isNarrowing(transition, [server, client])
        ? ["widen", "move"]
        : [first];
  return [before, ...steps.map((step) => transitionSnapshot(transition, step)), next];
}

function speak(clientSide: MeshSnapshot, serverSide: MeshSnapshot): string {
  const uses = clientUses(new Views(clientSide).of(client), clientSide, identity, "api.default.svc.cluster.local");
  assert.equal(uses.length, 1);
  return uses.map((use) => judgeTls(new Views(serverSide), use, server, "10.244.0.2").reason).join();
}

describe("no request fails on the way", () => {
  for (const [from, fromPolicy] of Object.entries(policies)) {
    for (const [to, toPolicy] of Object.entries(policies)) {
      if (from === to) continue;
      test(`from ${from} to ${to}`, () => {
        const steps = stepsOf(meshWith(fromPolicy), meshWith(toPolicy));
        for (const [index, later] of steps.entries()) {
          const earlier = steps[index - 1] ?? later;
          for (const clientSide of [earlier, later]) {
            for (const serverSide of [earlier, later]) {
              assert.equal(speak(clientSide, serverSide), "", `${clientSide.version} → ${serverSide.version}`);
            }
          }
        }
      });
    }
  }

  test("without steps between them DISABLE and STRICT do not fit: this test can fail", () => {
    const [off, strict] = [meshWith(policies["DISABLE"] ?? ""), meshWith(policies["STRICT"] ?? "")];
    assert.notEqual(speak(off, strict), "");
    assert.notEqual(speak(strict, off), "");
  });

  test("a second change on the way keeps to what clients go by", () => {
    const [off, strict, open] = ["DISABLE", "STRICT", "PERMISSIVE"].map((mode) => meshWith(policies[mode] ?? "")) as [
      MeshSnapshot,
      MeshSnapshot,
      MeshSnapshot,
    ];
    // From STRICT back to DISABLE, while clients may have moved already and servers take both.
    const back: MtlsTransition = { next: off, before: [off, strict], clients: strict };
    assert.equal(firstStep(back, [server]), "widen");
    const widened = transitionSnapshot(back, "widen");
    assert.equal(speak(strict, widened), "");
    assert.equal(speak(off, widened), "");
    assert.equal(firstStep({ next: open, before: [open], clients: open }, [server]), undefined);
  });
});
