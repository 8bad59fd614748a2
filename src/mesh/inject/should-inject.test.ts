import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { injectPod } from "./inject-pod.ts";
import type { InjectorConfig } from "./injection.ts";
import type { Pod } from "./pod.ts";
import { shouldInject } from "./should-inject.ts";

function pod(labels: Record<string, string> = {}, annotations: Record<string, string> = {}, hostNetwork = false): Pod {
  return { metadata: { name: "a", labels, annotations }, spec: { hostNetwork, containers: [] } };
}

const always: InjectorConfig = { policy: "disabled", alwaysInjectSelector: [{ matchLabels: { team: "mesh" } }] };
const never: InjectorConfig = { neverInjectSelector: [{ matchExpressions: [{ key: "job", operator: "Exists" }] }] };
const inject = "sidecar.istio.io/inject";

describe("whether a pod is injected", () => {
  const rows: readonly [string, Pod, string, InjectorConfig, boolean][] = [
    ["a pod that says nothing", pod(), "default", {}, true],
    ["on the host's network", pod({ [inject]: "true" }, {}, true), "default", {}, false],
    ["in a system namespace", pod({ [inject]: "true" }), "kube-system", {}, false],
    ["with label false", pod({ [inject]: "false" }), "default", {}, false],
    ["with annotation false", pod({}, { [inject]: "false" }), "default", {}, false],
    ["with label true and annotation false", pod({ [inject]: "true" }, { [inject]: "false" }), "default", {}, true],
    ["with a word that is neither", pod({ [inject]: "yes" }), "default", {}, true],
    [
      "with a word that is neither, policy disabled",
      pod({ [inject]: "yes" }),
      "default",
      { policy: "disabled" },
      false,
    ],
    ["policy disabled", pod(), "default", { policy: "disabled" }, false],
    ["policy disabled, label true", pod({ [inject]: "true" }), "default", { policy: "disabled" }, true],
    ["always-selector", pod({ team: "mesh" }), "default", always, true],
    ["never-selector", pod({ job: "x" }), "default", never, false],
    ["never-selector, label true", pod({ job: "x", [inject]: "true" }), "default", never, true],
    ["never beats always", pod({ job: "x", team: "mesh" }), "default", { ...always, ...never }, false],
    ["an empty selector switches nothing", pod(), "default", { neverInjectSelector: [{}] }, true],
  ];
  for (const [name, candidate, namespace, config, expected] of rows) {
    test(name, () => assert.equal(shouldInject(candidate, namespace, config).inject, expected));
  }

  test("a pod that is left alone says why", () => {
    const result = injectPod({ pod: pod({}, {}, true), namespace: "default", context: {} });
    assert.deepEqual(result, { skipped: "it has host networking enabled" });
  });
});
