// Defaults of Deployments and ReplicaSets.

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

function defaultTemplate(spec: JsonRecord): JsonRecord {
  return mapField(spec, "template", (template) => mapField(template, "spec", defaultPodSpec));
}
