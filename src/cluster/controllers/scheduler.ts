// Gives every pod the one node there is.

import type { Running } from "#base/lifecycle.ts";
import { asArray, asRecord, fieldAt } from "../store/json.ts";
import { pods } from "../store/resources.ts";
import { withCondition } from "./conditions.ts";
import { keyOf, runController, splitKey } from "./controller.ts";
import type { ControllerContext } from "./options.ts";
import { podPhase } from "./pod-state.ts";

export function startScheduler(context: ControllerContext, nodeName: string): Running {
  const { store, clock } = context;
  return runController(context, {
    name: "scheduler",
    triggers: [{ resource: pods, keys: (pod) => (fieldAt(pod, "spec", "nodeName") ? [] : [keyOf(pod)]) }],
    reconcile: (key) => {
      const pod = store.get(pods, ...splitKey(key));
      if (pod === undefined || fieldAt(pod, "spec", "nodeName") || podPhase(pod) !== "Pending") return;
      const status = asRecord(pod["status"]);
      const scheduled = { type: "PodScheduled", status: "True", reason: "", message: "" } as const;
      const conditions = withCondition(asArray(status["conditions"]), scheduled, clock.now());
      const placed = store.update(pods, { ...pod, spec: { ...asRecord(pod["spec"]), nodeName } });
      store.updateStatus(pods, { ...placed, status: { ...status, conditions } });
    },
  });
}
