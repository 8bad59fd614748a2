// Which addresses stand behind a Service's ports, read from its EndpointSlices. Pure.

import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { asArray, asRecord, fieldAt } from "../store/json.ts";

export interface ServicePort {
  readonly name: string;
  readonly protocol: "tcp" | "udp";
  readonly port: number;
  /** Sorted and without duplicates. */
  readonly endpoints: readonly Endpoint[];
}

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

export interface ServiceEndpoint {
  readonly addresses: readonly string[];
  readonly hostname: string | undefined;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
}

const serviceNameLabel = "kubernetes.io/service-name";

/** The Service that an EndpointSlice belongs to, as `namespace/name`. */
export function serviceKeyOfSlice(slice: KubernetesObject): string {
  return `${slice.metadata.namespace ?? ""}/${slice.metadata.labels?.[serviceNameLabel] ?? ""}`;
}

/** The Service's TCP and UDP ports, each with the endpoints that should get traffic now. */
export function servicePorts(service: KubernetesObject, slices: readonly KubernetesObject[]): ServicePort[] {
  return asArray(fieldAt(service, "spec", "ports")).flatMap((value) => {
    const port = asRecord(value);
    const number = Number(port["port"]);
    const protocol = String(port["protocol"] ?? "TCP").toLowerCase();
    if (!isPort(number) || (protocol !== "tcp" && protocol !== "udp")) return [];
    const name = String(port["name"] ?? "");
    return [{ name, protocol, port: number, endpoints: endpointsOfPort(name, slices) }];
  });
}

function endpointsOfPort(portName: string, slices: readonly KubernetesObject[]): Endpoint[] {
  const candidates = slices.flatMap((slice) => {
    const ports = asArray(slice["ports"]).map(asRecord);
    const port = Number(ports.find((item) => String(item["name"] ?? "") === portName)?.["port"]);
    if (!isPort(port)) return [];
    return sliceEndpoints(slice).flatMap((endpoint) =>
      endpoint.addresses.map((address) => ({ address, port, endpoint })),
    );
  });
  const ready = candidates.filter(({ endpoint }) => endpoint.ready);
  const chosen =
    ready.length > 0 ? ready : candidates.filter(({ endpoint }) => endpoint.serving && endpoint.terminating);
  const byKey = new Map(chosen.map(({ address, port }) => [`${address}:${port}`, { address, port }]));
  return [...byKey.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, endpoint]) => endpoint);
}

/** The IPv4 endpoints of a slice with the defaults of their conditions. */
export function sliceEndpoints(slice: KubernetesObject): ServiceEndpoint[] {
  if (slice["addressType"] !== "IPv4") return [];
  return asArray(slice["endpoints"]).map((value) => {
    const endpoint = asRecord(value);
    const conditions = asRecord(endpoint["conditions"]);
    const ready = conditions["ready"] !== false;
    const hostname = endpoint["hostname"];
    return {
      addresses: asArray(endpoint["addresses"]).map(String).filter(isIpv4),
      hostname: typeof hostname === "string" && hostname !== "" ? hostname : undefined,
      ready,
      serving: typeof conditions["serving"] === "boolean" ? conditions["serving"] : ready,
      terminating: conditions["terminating"] === true,
    };
  });
}

export function isIpv4(text: string): boolean {
  const parts = text.split(".");
  return parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255);
}

function isPort(value: number): boolean {
  return Number.isInteger(value) && value > 0 && value <= 65_535;
}

/** The Service's virtual address; undefined for headless and ExternalName ones. */
export function clusterAddress(service: KubernetesObject): string | undefined {
  const address = fieldAt(service, "spec", "clusterIP");
  if (fieldAt(service, "spec", "type") === "ExternalName") return undefined;
  return typeof address === "string" && isIpv4(address) ? address : undefined;
}
