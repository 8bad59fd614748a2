// What Deployments, ReplicaSets, StatefulSets and DaemonSets must have: a selector that does not change and selects their own pods.

import { asArray, asRecord, isRecord, type JsonRecord, jsonEqual } from "../../store/json.ts";
import { matchesLabelSelector } from "../../store/selector.ts";
import { validateLabels } from "./names.ts";
import { oneOf, validatePodSpec, whole } from "./pod.ts";
import type { Problems } from "./problems.ts";
import { readSelector, validateSelector } from "./selector.ts";

export function validateWorkload(object: JsonRecord, stored: JsonRecord | undefined, problems: Problems): void {
  validateWithVolumes(object, stored, problems, []);
}

/** `more` are volumes that its pods have besides those of the template. */
function validateWithVolumes(
  object: JsonRecord,
  stored: JsonRecord | undefined,
  problems: Problems,
  more: readonly unknown[],
): void {
  const spec = object["spec"];
  if (!isRecord(spec)) return problems.required("spec");
  whole(spec["replicas"], 0, 1_000_000, "spec.replicas", problems);
  const template = asRecord(spec["template"]);
  const labels = asRecord(asRecord(template["metadata"])["labels"]);
  validateLabels(labels, "spec.template.metadata.labels", problems);
  const podSpec = template["spec"];
  const withMore = isRecord(podSpec) && more.length > 0;
  const volumes = withMore ? [...asArray(podSpec["volumes"]), ...more] : undefined;
  validatePodSpec(withMore ? { ...podSpec, volumes } : podSpec, "spec.template.spec", problems);
  validateSelector(spec["selector"], "spec.selector", problems);
  const selector = readSelector(spec["selector"]);
  if (selector === undefined || Object.keys(asRecord(spec["selector"])).length === 0) {
    problems.required("spec.selector");
  } else if (!matchesLabelSelector(selector, texts(labels))) {
    problems.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`");
  }
  const storedSelector = asRecord(stored?.["spec"])["selector"];
  if (stored !== undefined && !jsonEqual(spec["selector"], storedSelector)) {
    problems.invalid("spec.selector", spec["selector"], "field is immutable");
  }
  validateStrategy(asRecord(spec["strategy"]), problems);
}

/** Its pods keep their names and volumes: how they are made may not change. */
export function validateStatefulSet(object: JsonRecord, stored: JsonRecord | undefined, problems: Problems): void {
  const spec = asRecord(object["spec"]);
  const own = asArray(asRecord(asRecord(spec["template"])["spec"])["volumes"]).map(
    (volume) => asRecord(volume)["name"],
  );
  // A claim takes the place of a volume of its name.
  const claims = asArray(spec["volumeClaimTemplates"])
    .map((claim) => ({ name: asRecord(asRecord(claim)["metadata"])["name"] }))
    .filter(({ name }) => !own.includes(name));
  validateWithVolumes(object, stored, problems, claims);
  oneOf(spec["podManagementPolicy"], ["OrderedReady", "Parallel"], "spec.podManagementPolicy", problems);
  oneOf(asRecord(spec["updateStrategy"])["type"], ["RollingUpdate", "OnDelete"], "spec.updateStrategy.type", problems);
  alwaysRestarts(spec, problems);
  whole(asRecord(spec["ordinals"])["start"], 0, 1_000_000, "spec.ordinals.start", problems);
  for (const field of ["serviceName", "podManagementPolicy", "volumeClaimTemplates"]) {
    if (stored !== undefined && !jsonEqual(spec[field], asRecord(stored["spec"])[field])) {
      problems.invalid(`spec.${field}`, spec[field], "field is immutable");
    }
  }
}

export function validateDaemonSet(object: JsonRecord, stored: JsonRecord | undefined, problems: Problems): void {
  validateWorkload(object, stored, problems);
  const spec = asRecord(object["spec"]);
  oneOf(asRecord(spec["updateStrategy"])["type"], ["RollingUpdate", "OnDelete"], "spec.updateStrategy.type", problems);
  alwaysRestarts(spec, problems);
}

function alwaysRestarts(spec: JsonRecord, problems: Problems): void {
  const policy = asRecord(asRecord(spec["template"])["spec"])["restartPolicy"];
  oneOf(policy, ["Always"], "spec.template.spec.restartPolicy", problems);
}

function validateStrategy(strategy: JsonRecord, problems: Problems): void {
  oneOf(strategy["type"], ["RollingUpdate", "Recreate"], "spec.strategy.type", problems);
  const rolling = asRecord(strategy["rollingUpdate"]);
  for (const field of ["maxSurge", "maxUnavailable"]) {
    const value = rolling[field];
    const isAmount =
      typeof value === "string" ? /^\d{1,3}%$/.test(value) : Number.isInteger(value) && Number(value) >= 0;
    if (value !== undefined && !isAmount) {
      problems.invalid(`spec.strategy.rollingUpdate.${field}`, value, "must be a number or a percentage as 25%");
    }
  }
  const isNothing = (value: unknown): boolean => value === 0 || value === "0%";
  if (isNothing(rolling["maxSurge"]) && isNothing(rolling["maxUnavailable"])) {
    problems.invalid("spec.strategy.rollingUpdate.maxUnavailable", 0, "may not be 0 when `maxSurge` is 0");
  }
}

function texts(record: JsonRecord): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, String(value)]));
}
