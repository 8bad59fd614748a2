// Defaults of everything that makes pods from a template.

import type { JsonRecord } from "../../store/json.ts";
import { mapField, withDefaults } from "./fields.ts";
import { defaultPodSpec } from "./pod.ts";

export function defaultDeployment(object: JsonRecord): JsonRecord {
  return mapField(object, "spec", (given) => {
    const spec = withDefaults(defaultTemplate(given), {
      replicas: 1,
      strategy: {},
      revisionHistoryLimit: 10,
      progressDeadlineSeconds: 600,
    });
    return mapField(spec, "strategy", (strategy) => {
      const typed = withDefaults(strategy, { type: "RollingUpdate" });
      if (typed["type"] !== "RollingUpdate") return typed;
      const rolling = withDefaults(typed, { rollingUpdate: {} });
      return mapField(rolling, "rollingUpdate", (update) =>
        withDefaults(update, { maxUnavailable: "25%", maxSurge: "25%" }),
      );
    });
  });
}

export function defaultReplicaSet(object: JsonRecord): JsonRecord {
  return mapField(object, "spec", (spec) => withDefaults(defaultTemplate(spec), { replicas: 1 }));
}

export function defaultStatefulSet(object: JsonRecord): JsonRecord {
  return mapField(object, "spec", (given) => {
    const spec = withDefaults(defaultTemplate(given), {
      replicas: 1,
      podManagementPolicy: "OrderedReady",
      updateStrategy: {},
      revisionHistoryLimit: 10,
    });
    return mapField(spec, "updateStrategy", (strategy) => defaultUpdate(strategy, { partition: 0 }));
  });
}

export function defaultDaemonSet(object: JsonRecord): JsonRecord {
  return mapField(object, "spec", (given) => {
    const spec = withDefaults(defaultTemplate(given), { updateStrategy: {}, revisionHistoryLimit: 10 });
    return mapField(spec, "updateStrategy", (strategy) => defaultUpdate(strategy, { maxUnavailable: 1, maxSurge: 0 }));
  });
}

function defaultUpdate(strategy: JsonRecord, rolling: JsonRecord): JsonRecord {
  const typed = withDefaults(strategy, { type: "RollingUpdate" });
  if (typed["type"] !== "RollingUpdate") return typed;
  return mapField(withDefaults(typed, { rollingUpdate: {} }), "rollingUpdate", (update) =>
    withDefaults(update, rolling),
  );
}

export function defaultJob(object: JsonRecord): JsonRecord {
  return mapField(object, "spec", (given) => {
    const isOnce = given["completions"] === undefined && given["parallelism"] === undefined;
    return withDefaults(defaultTemplate(given), {
      parallelism: 1,
      ...(isOnce && { completions: 1 }),
      backoffLimit: 6,
      completionMode: "NonIndexed",
      suspend: false,
    });
  });
}

function defaultTemplate(spec: JsonRecord): JsonRecord {
  return mapField(spec, "template", (template) => mapField(template, "spec", defaultPodSpec));
}
