import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { silentLogger } from "#base/log/log.ts";
import { ManualClock } from "#base/time/clock.ts";
import type { BuiltSnapshot } from "#mesh/snapshot/build.ts";
import { meshFromYaml, proxy } from "#mesh/snapshot/testing/mesh-from-yaml.ts";
import { assessImpact } from "./impact.ts";
import { StagedPush } from "./staged-push.ts";

const service = `apiVersion: v1
kind: Service
metadata: {name: a}
spec: {ports: [{name: http, port: 80}]}
---
`;
const peers = (mode: string): string => `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: ${mode}}}
---
`;

interface World {
  readonly pushed: string[];
  readonly clock: ManualClock;
  isSettled: boolean;
  apply(yaml: string): void;
}

function world(): World {
  const pushed: string[] = [];
  const clock = new ManualClock();
  const node = proxy();
  const state = { isSettled: true };
  const staged = new StagedPush({
    push: (snapshot) =>
      pushed.push(`${snapshot.version.split("-")[1] ?? "whole"} ${snapshot.inboundMtlsMode(node).mode}`),
    proxies: () => [node],
    isSettled: () => state.isSettled,
    clock,
    log: silentLogger,
  });
  let current: BuiltSnapshot | undefined;
  return {
    pushed,
    clock,
    get isSettled() {
      return state.isSettled;
    },
    set isSettled(value) {
      state.isSettled = value;
    },
    apply: (yaml) => {
      const next = meshFromYaml(yaml, {}, current);
      const impact = assessImpact(current, next);
      current = next;
      staged.push(next, impact);
    },
  };
}

describe("a change of PeerAuthentication", () => {
  test("the first configuration, and one that only takes more, is pushed at once", () => {
    const { apply, pushed } = world();
    apply(peers("STRICT"));
    apply(peers("PERMISSIVE"));
    apply(`${peers("PERMISSIVE")}${service}`);
    assert.deepEqual(pushed, ["whole STRICT", "whole PERMISSIVE", "whole PERMISSIVE"]);
  });

  test("PERMISSIVE to STRICT: servers take both until the clients have answered", () => {
    const it = world();
    it.apply(peers("PERMISSIVE"));
    it.isSettled = false;
    it.apply(peers("STRICT"));
    it.clock.advance(2000);
    assert.deepEqual(it.pushed, ["whole PERMISSIVE", "move PERMISSIVE"]);
    it.isSettled = true;
    it.clock.advance(1000);
    assert.deepEqual(it.pushed.slice(2), ["whole STRICT"]);
  });

  test("DISABLE to STRICT: servers take both, clients move, servers take no plaintext", () => {
    const it = world();
    it.apply(peers("DISABLE"));
    it.apply(peers("STRICT"));
    it.clock.advance(3000);
    assert.deepEqual(it.pushed, ["whole DISABLE", "widen PERMISSIVE", "move PERMISSIVE", "whole STRICT"]);
  });

  test("a proxy that does not answer delays STRICT by seconds only", () => {
    const it = world();
    it.apply(peers("PERMISSIVE"));
    it.isSettled = false;
    it.apply(peers("STRICT"));
    it.clock.advance(5000);
    assert.equal(it.pushed.at(-1), "move PERMISSIVE");
    it.clock.advance(1000);
    assert.equal(it.pushed.at(-1), "whole STRICT");
  });

  test("what else changes on the way is pushed at once, in the step that is taken", () => {
    const it = world();
    it.apply(peers("DISABLE"));
    it.isSettled = false;
    it.apply(peers("STRICT"));
    it.apply(`${peers("STRICT")}${service}`);
    assert.deepEqual(it.pushed.slice(1), ["widen PERMISSIVE", "widen PERMISSIVE"]);
    it.isSettled = true;
    it.clock.advance(3000);
    assert.deepEqual(it.pushed.slice(3), ["move PERMISSIVE", "whole STRICT"]);
  });

  test("taken back on the way, servers take both until clients are back", () => {
    const it = world();
    it.apply(peers("DISABLE"));
    it.apply(peers("STRICT"));
    it.clock.advance(600);
    assert.equal(it.pushed.at(-1), "move PERMISSIVE");
    it.apply(peers("DISABLE"));
    assert.equal(it.pushed.at(-1), "widen PERMISSIVE");
    it.clock.advance(3000);
    assert.deepEqual(it.pushed.slice(4), ["move PERMISSIVE", "whole DISABLE"]);
  });
});
