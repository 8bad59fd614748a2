// Gives Services their cluster IP (10.96.0.0/16) and node ports (30000-32767). Runs in the same turn as the write, so
// that two Services never get the same.

import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { apiError } from "../store/errors.ts";
import { asArray, asRecord, fieldAt, type JsonRecord } from "../store/json.ts";
import { services } from "../store/resources.ts";
import type { ObjectStore } from "../store/store.ts";
import { mapItems } from "./defaults/fields.ts";

/** Addresses that belong to one Service each, whoever asks. */
export const reservedAddresses: Readonly<Record<string, string>> = {
  "default/kubernetes": "10.96.0.1",
  "kube-system/kube-dns": "10.96.0.10",
};

/** Made-up addresses come from 10.96.1.0 on; those below are for Services that name theirs. */
const firstDynamic = 256;
const lastAddress = 65_534;
const firstNodePort = 30_000;
const lastNodePort = 32_767;

export function withServiceAddresses(store: ObjectStore, service: KubernetesObject): KubernetesObject {
  const spec = asRecord(service["spec"]);
  if (spec["type"] === "ExternalName") return service;
  const others = store.list(services).items.filter((other) => !isSame(other, service));
  const clusterIP = clusterAddress(service, spec, others);
  const addressed = { ...spec, clusterIP, clusterIPs: [clusterIP] };
  return { ...service, spec: spec["type"] === "ClusterIP" ? addressed : withNodePorts(addressed, others) };
}

function clusterAddress(service: KubernetesObject, spec: JsonRecord, others: readonly KubernetesObject[]): string {
  const taken = new Set(others.map((other) => fieldAt(other, "spec", "clusterIP")));
  const key = `${service.metadata.namespace}/${service.metadata.name}`;
  const wanted = spec["clusterIP"] ?? asArray(spec["clusterIPs"])[0] ?? reservedAddresses[key];
  if (wanted === "None") return "None";
  if (typeof wanted === "string" && wanted !== "") {
    const owner = Object.entries(reservedAddresses).find(([, address]) => address === wanted)?.[0] ?? key;
    if (!isServiceAddress(wanted)) throw invalidAddress(service, wanted, "not within the service range 10.96.0.0/16");
    if (taken.has(wanted) || owner !== key) throw invalidAddress(service, wanted, "the address is taken");
    return wanted;
  }
  for (let offset = firstDynamic; offset <= lastAddress; offset++) {
    const address = `10.96.${offset >> 8}.${offset & 0xff}`;
    if ((offset & 0xff) !== 0 && !taken.has(address)) return address;
  }
  throw apiError("UNAVAILABLE", "no service address is free");
}

function withNodePorts(spec: JsonRecord, others: readonly KubernetesObject[]): JsonRecord {
  if (spec["type"] === "LoadBalancer" && spec["allocateLoadBalancerNodePorts"] === false) return spec;
  const taken = new Set<unknown>(
    others.flatMap((other) => asArray(fieldAt(other, "spec", "ports")).map((port) => asRecord(port)["nodePort"])),
  );
  for (const port of asArray(spec["ports"])) {
    const nodePort = asRecord(port)["nodePort"];
    if (nodePort === undefined) continue;
    if (taken.has(nodePort)) throw apiError("INVALID", `spec.ports: node port ${String(nodePort)} is taken`);
    taken.add(nodePort);
  }
  return mapItems(spec, "ports", (port) => {
    if (port["nodePort"] !== undefined) return port;
    for (let candidate = firstNodePort; candidate <= lastNodePort; candidate++) {
      if (taken.has(candidate)) continue;
      taken.add(candidate);
      return { ...port, nodePort: candidate };
    }
    throw apiError("UNAVAILABLE", "no node port is free");
  });
}

function isServiceAddress(address: string): boolean {
  const match = /^10\.96\.(\d{1,3})\.(\d{1,3})$/.exec(address);
  return match !== null && Number(match[1]) <= 255 && Number(match[2]) <= 255;
}

function invalidAddress(service: KubernetesObject, address: string, reason: string): Error {
  return apiError("INVALID", `Service "${service.metadata.name}" is invalid: spec.clusterIP: ${address}: ${reason}`);
}

function isSame(a: KubernetesObject, b: KubernetesObject): boolean {
  return a.metadata.name === b.metadata.name && a.metadata.namespace === b.metadata.namespace;
}
