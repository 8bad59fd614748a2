// A container's environment and command line, as Kubernetes builds them: sources in order, `$(VAR)` expanded.

import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { kubernetesServiceAddress } from "../network/addresses.ts";
import { asRecord, fieldAt } from "../store/json.ts";
import { configMaps, secrets } from "../store/resources.ts";
import type { ObjectStore } from "../store/store.ts";
import { fieldValue, resourceValue } from "./field-value.ts";
import { type ContainerSpec, type EnvVariable, hostnameOf, type KeyRef } from "./pod-spec.ts";
import { WaitingError } from "./waiting-error.ts";

export type Environment = ReadonlyMap<string, string>;

export interface EnvironmentInput {
  readonly store: Pick<ObjectStore, "get">;
  readonly pod: KubernetesObject;
  readonly container: ContainerSpec;
  readonly podAddress: string;
  /** Lowest precedence: of the image. */
  readonly defaults: Readonly<Record<string, string>>;
}

/** Throws a WaitingError naming the ConfigMap, Secret or field that is missing. */
export function containerEnvironment(input: EnvironmentInput): Environment {
  const { store, pod, container, defaults } = input;
  const namespace = pod.metadata.namespace ?? "";
  const environment = new Map<string, string>(Object.entries(defaults));
  environment.set("HOSTNAME", hostnameOf(pod));
  for (const [name, value] of kubernetesVariables) environment.set(name, value);
  for (const source of container.envFrom ?? []) {
    const ref = source.configMapRef ?? source.secretRef;
    if (ref === undefined) continue;
    const isSecret = source.configMapRef === undefined;
    const data = isSecret ? secretData(store, namespace, ref.name) : configMapData(store, namespace, ref.name);
    if (data === undefined && ref.optional !== true) throw missing(isSecret ? "secret" : "configmap", ref.name);
    for (const [key, value] of data ?? []) environment.set(`${source.prefix ?? ""}${key}`, value.toString("utf8"));
  }
  for (const variable of container.env ?? []) {
    const value = variableValue(input, variable, environment);
    if (value !== undefined) environment.set(variable.name, value);
  }
  return environment;
}

const kubernetesVariables: readonly (readonly [string, string])[] = [
  ["KUBERNETES_SERVICE_HOST", kubernetesServiceAddress],
  ["KUBERNETES_SERVICE_PORT", "443"],
  ["KUBERNETES_SERVICE_PORT_HTTPS", "443"],
  ["KUBERNETES_PORT", `tcp://${kubernetesServiceAddress}:443`],
];

function variableValue(input: EnvironmentInput, variable: EnvVariable, soFar: Environment): string | undefined {
  const { store, pod, container, podAddress } = input;
  const from = variable.valueFrom;
  if (from === undefined) return expand(variable.value ?? "", soFar);
  const namespace = pod.metadata.namespace ?? "";
  if (from.fieldRef !== undefined) {
    return required(fieldValue(pod, from.fieldRef.fieldPath, podAddress), variable, from.fieldRef.fieldPath);
  }
  if (from.resourceFieldRef !== undefined) {
    return required(resourceValue(pod, container, from.resourceFieldRef), variable, from.resourceFieldRef.resource);
  }
  if (from.configMapKeyRef !== undefined) {
    return keyValue(configMapData(store, namespace, from.configMapKeyRef.name), "configmap", from.configMapKeyRef);
  }
  if (from.secretKeyRef !== undefined) {
    return keyValue(secretData(store, namespace, from.secretKeyRef.name), "secret", from.secretKeyRef);
  }
  return "";
}

function required(value: string | undefined, variable: EnvVariable, source: string): string {
  if (value !== undefined) return value;
  throw new WaitingError("CreateContainerConfigError", `env ${variable.name}: there is no field ${source}`);
}

function keyValue(data: ReadonlyMap<string, Buffer> | undefined, kind: string, ref: KeyRef): string | undefined {
  const value = data?.get(ref.key);
  if (value !== undefined) return value.toString("utf8");
  if (ref.optional === true) return undefined;
  if (data === undefined) throw missing(kind, ref.name);
  throw new WaitingError("CreateContainerConfigError", `${kind} "${ref.name}" has no key "${ref.key}"`);
}

function missing(kind: string, name: string): WaitingError {
  return new WaitingError("CreateContainerConfigError", `${kind} "${name}" not found`);
}

/** `data` and `binaryData` of a ConfigMap; undefined when there is no such object. */
export function configMapData(
  store: Pick<ObjectStore, "get">,
  namespace: string,
  name: string,
): ReadonlyMap<string, Buffer> | undefined {
  const object = store.get(configMaps, namespace, name);
  if (object === undefined) return undefined;
  return new Map([
    ...Object.entries(asRecord(object["data"])).map(([key, value]) => [key, Buffer.from(String(value))] as const),
    ...base64Entries(fieldAt(object, "binaryData")),
  ]);
}

/** The decoded content of a Secret; undefined when there is no such object. */
export function secretData(
  store: Pick<ObjectStore, "get">,
  namespace: string,
  name: string,
): ReadonlyMap<string, Buffer> | undefined {
  const object = store.get(secrets, namespace, name);
  return object === undefined ? undefined : new Map(base64Entries(object["data"]));
}

function base64Entries(value: unknown): (readonly [string, Buffer])[] {
  return Object.entries(asRecord(value)).map(([key, text]) => [key, Buffer.from(String(text), "base64")] as const);
}

/** Replaces `$(NAME)` by what is known; `$$(NAME)` becomes `$(NAME)`, unknown names stay as they are. */
export function expand(text: string, environment: Environment): string {
  return text.replace(/\$(\$|\(([A-Za-z_.-][A-Za-z0-9_.-]*)\))/g, (whole, what: string, name: string | undefined) => {
    if (what === "$") return "$";
    return (name === undefined ? undefined : environment.get(name)) ?? whole;
  });
}
