// What a pod's spec must have so that it can run.

import { asArray, asRecord, isRecord, type JsonRecord, jsonEqual } from "../../store/json.ts";
import { isDnsLabel } from "./names.ts";
import type { Problems } from "./problems.ts";

export function validatePod(pod: JsonRecord, stored: JsonRecord | undefined, problems: Problems): void {
  validatePodSpec(pod["spec"], "spec", problems);
  if (stored === undefined) return;
  if (!jsonEqual(immutableSpec(pod["spec"]), immutableSpec(stored["spec"]))) {
    problems.forbidden("spec", "pod updates may not change fields other than the images of containers and tolerations");
  }
}

/** For pods and for templates of pods. */
export function validatePodSpec(spec: unknown, path: string, problems: Problems): void {
  if (!isRecord(spec)) return problems.required(path);
  const volumes = validateVolumes(spec["volumes"], path, problems);
  const names = new Set<string>();
  const containers = spec["containers"];
  if (!Array.isArray(containers) || containers.length === 0) problems.required(`${path}.containers`);
  for (const list of ["initContainers", "containers"]) {
    if (spec[list] !== undefined && !Array.isArray(spec[list]))
      problems.invalid(`${path}.${list}`, spec[list], "must be a list");
    for (const [index, container] of asArray(spec[list]).entries()) {
      validateContainer(asRecord(container), `${path}.${list}[${index}]`, { names, volumes }, problems);
    }
  }
  oneOf(spec["restartPolicy"], ["Always", "OnFailure", "Never"], `${path}.restartPolicy`, problems);
  whole(spec["terminationGracePeriodSeconds"], 0, 1e9, `${path}.terminationGracePeriodSeconds`, problems);
}

export function whole(value: unknown, min: number, max: number, path: string, problems: Problems): void {
  if (value === undefined) return;
  if (!Number.isInteger(value) || Number(value) < min || Number(value) > max) {
    problems.invalid(path, value, `must be a whole number from ${min} to ${max}`);
  }
}

export function oneOf(value: unknown, allowed: readonly string[], path: string, problems: Problems): void {
  if (value !== undefined && !allowed.includes(String(value))) {
    problems.invalid(path, value, `must be one of ${allowed.join(", ")}`);
  }
}

interface Seen {
  readonly names: Set<string>;
  readonly volumes: ReadonlySet<unknown>;
}

function validateContainer(container: JsonRecord, path: string, seen: Seen, problems: Problems): void {
  const name = container["name"];
  if (!isDnsLabel(name)) problems.invalid(`${path}.name`, name, "must be a DNS label");
  else if (seen.names.has(name)) problems.invalid(`${path}.name`, name, "another container has this name");
  else seen.names.add(name);
  if (typeof container["image"] !== "string" || container["image"] === "") problems.required(`${path}.image`);
  for (const field of ["command", "args"]) {
    const words = container[field];
    const areTexts = Array.isArray(words) && words.every((word) => typeof word === "string");
    if (words !== undefined && !areTexts) problems.invalid(`${path}.${field}`, words, "must be a list of strings");
  }
  for (const [index, port] of asArray(container["ports"]).entries()) {
    const { containerPort, protocol } = asRecord(port);
    if (containerPort === undefined) problems.required(`${path}.ports[${index}].containerPort`);
    whole(containerPort, 1, 65_535, `${path}.ports[${index}].containerPort`, problems);
    oneOf(protocol, ["TCP", "UDP", "SCTP"], `${path}.ports[${index}].protocol`, problems);
  }
  for (const [index, variable] of asArray(container["env"]).entries()) {
    const { name: variableName, value } = asRecord(variable);
    if (typeof variableName !== "string" || !/^[^=\0]+$/.test(variableName)) {
      problems.invalid(`${path}.env[${index}].name`, variableName, "must be the name of a variable");
    }
    if (value !== undefined && value !== null && typeof value !== "string") {
      problems.invalid(`${path}.env[${index}].value`, value, "must be a string");
    }
  }
  for (const [index, mount] of asArray(container["volumeMounts"]).entries()) {
    const { name: volume, mountPath } = asRecord(mount);
    if (!seen.volumes.has(volume))
      problems.invalid(`${path}.volumeMounts[${index}].name`, volume, "there is no such volume");
    if (typeof mountPath !== "string" || mountPath === "")
      problems.required(`${path}.volumeMounts[${index}].mountPath`);
  }
}

function validateVolumes(volumes: unknown, path: string, problems: Problems): ReadonlySet<unknown> {
  const names = new Set<unknown>();
  for (const [index, volume] of asArray(volumes).entries()) {
    const name = asRecord(volume)["name"];
    if (!isDnsLabel(name)) problems.invalid(`${path}.volumes[${index}].name`, name, "must be a DNS label");
    else if (names.has(name)) problems.invalid(`${path}.volumes[${index}].name`, name, "another volume has this name");
    names.add(name);
  }
  return names;
}

function immutableSpec(spec: unknown): unknown {
  const { tolerations: _, activeDeadlineSeconds: __, terminationGracePeriodSeconds: ___, ...rest } = asRecord(spec);
  const withoutImage = (container: unknown): unknown => ({ ...asRecord(container), image: "", imagePullPolicy: "" });
  return {
    ...rest,
    containers: asArray(rest["containers"]).map(withoutImage),
    initContainers: asArray(rest["initContainers"]).map(withoutImage),
  };
}
