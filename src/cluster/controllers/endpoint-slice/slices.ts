// The EndpointSlices that a Service and its pods should have. Pure.

import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { asArray, asRecord, fieldAt, type JsonRecord } from "../../store/json.ts";
import { hasEnded, isReady, isTerminating } from "../pod-state.ts";

export const managedBy = "endpointslice-controller.k8s.io";

/** Addresses with the same ports; one slice holds at most a hundred. */
export interface SliceContent {
  readonly ports: readonly JsonRecord[];
  readonly endpoints: readonly JsonRecord[];
}

const maxEndpoints = 100;

/** Whether the controller writes the slices of the Service; without a selector, somebody else does. */
export function hasManagedSlices(service: KubernetesObject): boolean {
  const selector = fieldAt(service, "spec", "selector");
  return Object.keys(asRecord(selector)).length > 0 && fieldAt(service, "spec", "type") !== "ExternalName";
}

/** Pods may resolve a named target port differently: those with the same numbers share slices. */
export function desiredSlices(service: KubernetesObject, pods: readonly KubernetesObject[]): readonly SliceContent[] {
  const groups = new Map<string, { ports: readonly JsonRecord[]; endpoints: JsonRecord[] }>();
  for (const pod of pods) {
    const endpoint = endpointOf(service, pod);
    if (endpoint === undefined) continue;
    const ports = resolvePorts(service, pod);
    const key = JSON.stringify(ports);
    const group = groups.get(key) ?? { ports, endpoints: [] };
    groups.set(key, group);
    group.endpoints.push(endpoint);
  }
  const slices = [...groups.values()].flatMap(({ ports, endpoints }) =>
    chunks(endpoints).map((chunk) => ({ ports, endpoints: chunk })),
  );
  return slices.length === 0 ? [{ ports: [], endpoints: [] }] : slices;
}

/** The port of a container, by its name and protocol. Sidecars among the init containers count. */
function containerPort(pod: KubernetesObject, name: string, protocol: string): number | undefined {
  const containers = [
    ...asArray(fieldAt(pod, "spec", "containers")),
    ...asArray(fieldAt(pod, "spec", "initContainers")),
  ];
  for (const container of containers) {
    for (const port of asArray(asRecord(container)["ports"]).map(asRecord)) {
      if (port["name"] === name && (port["protocol"] ?? "TCP") === protocol) return Number(port["containerPort"]);
    }
  }
  return undefined;
}

function endpointOf(service: KubernetesObject, pod: KubernetesObject): JsonRecord | undefined {
  const address = fieldAt(pod, "status", "podIP");
  if (typeof address !== "string" || address === "" || hasEnded(pod)) return undefined;
  const serving = isReady(pod);
  const terminating = isTerminating(pod);
  const publishesAll = fieldAt(service, "spec", "publishNotReadyAddresses") === true;
  const isInSubdomain = fieldAt(pod, "spec", "subdomain") === service.metadata.name;
  const hostname = fieldAt(pod, "spec", "hostname");
  const { name, namespace, uid } = pod.metadata;
  return {
    addresses: [address],
    conditions: { ready: publishesAll || (serving && !terminating), serving, terminating },
    ...(isInSubdomain && typeof hostname === "string" ? { hostname } : {}),
    nodeName: fieldAt(pod, "spec", "nodeName"),
    targetRef: { kind: "Pod", name, namespace, uid },
  };
}

function resolvePorts(service: KubernetesObject, pod: KubernetesObject): readonly JsonRecord[] {
  return asArray(fieldAt(service, "spec", "ports"))
    .map(asRecord)
    .flatMap((port) => {
      const protocol = String(port["protocol"] ?? "TCP");
      const target = port["targetPort"] ?? port["port"];
      const number = typeof target === "string" ? containerPort(pod, target, protocol) : Number(target);
      if (number === undefined) return [];
      const appProtocol = port["appProtocol"] === undefined ? {} : { appProtocol: port["appProtocol"] };
      return [{ name: String(port["name"] ?? ""), port: number, protocol, ...appProtocol }];
    });
}

function chunks(endpoints: readonly JsonRecord[]): readonly (readonly JsonRecord[])[] {
  const result: (readonly JsonRecord[])[] = [];
  for (let start = 0; start < endpoints.length; start += maxEndpoints)
    result.push(endpoints.slice(start, start + maxEndpoints));
  return result;
}
