import assert from "node:assert/strict";
import { test } from "node:test";
import { applyStrategicMerge } from "./strategic-merge.ts";

const deployment = {
  metadata: { labels: { a: "1", b: "2" }, finalizers: ["x"] },
  spec: {
    template: {
      spec: {
        containers: [
          { name: "app", image: "app:1", env: [{ name: "A", value: "1" }], args: ["one", "two"] },
          { name: "side", image: "side:1" },
        ],
        volumes: [{ name: "v", emptyDir: {} }],
      },
    },
  },
};

const podSpec = (patch: Record<string, unknown>): unknown =>
  (applyStrategicMerge("Deployment", deployment, { spec: { template: { spec: patch } } }) as typeof deployment).spec
    .template.spec;

test("containers and their variables are merged by name, plain lists are replaced", () => {
  const patch = { containers: [{ name: "app", image: "app:2", env: [{ name: "B", value: "2" }], args: ["three"] }] };
  assert.deepEqual(podSpec(patch), {
    containers: [
      {
        name: "app",
        image: "app:2",
        env: [
          { name: "A", value: "1" },
          { name: "B", value: "2" },
        ],
        args: ["three"],
      },
      { name: "side", image: "side:1" },
    ],
    volumes: [{ name: "v", emptyDir: {} }],
  });
});

test("directives delete, replace, order and retain", () => {
  const deleted = podSpec({ containers: [{ name: "side", $patch: "delete" }] }) as { containers: { name: string }[] };
  assert.deepEqual(
    deleted.containers.map(({ name }) => name),
    ["app"],
  );
  const ordered = podSpec({ $setElementOrder: 1, "$setElementOrder/containers": [{ name: "side" }, { name: "app" }] });
  assert.deepEqual(
    (ordered as typeof deleted).containers.map(({ name }) => name),
    ["side", "app"],
  );
  const replaced = podSpec({ containers: [{ $patch: "replace" }, { name: "only", image: "x" }] }) as typeof deleted;
  assert.deepEqual(replaced.containers, [{ name: "only", image: "x" }]);
  const retained = podSpec({ volumes: [{ name: "v", $retainKeys: ["name", "configMap"], configMap: { name: "c" } }] });
  assert.deepEqual((retained as { volumes: unknown }).volumes, [{ name: "v", configMap: { name: "c" } }]);
});

test("null removes, and finalizers are a set", () => {
  const patch = {
    metadata: { labels: { a: null }, finalizers: ["y", "x"], "$deleteFromPrimitiveList/finalizers": ["x"] },
  };
  assert.deepEqual(applyStrategicMerge("Deployment", deployment, patch)["metadata"], {
    labels: { b: "2" },
    finalizers: ["y"],
  });
});

test("items without their key are refused", () => {
  assert.throws(() => podSpec({ containers: [{ image: "x" }] }), /merge key name/);
});
