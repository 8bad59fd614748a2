// The proxy that asks for configuration, as its xDS node id and metadata describe it.
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { Labels } from "../objects/fields/selector.ts";
import { type Locality, noLocality } from "./endpoint.ts";

export interface ProxyNode {
  /** The whole node id: `sidecar~10.244.0.7~reviews-v1-abc.default~default.svc.cluster.local`. */
  readonly id: string;
  readonly type: "sidecar" | "router";
  /** At least one. */
  readonly ipAddresses: readonly string[];
  /** Pod name. */
  readonly name: string;
  readonly namespace: string;
  readonly workloadName: string;
  readonly labels: Labels;
  /** Name only. */
  readonly serviceAccount: string;
  readonly clusterId: string;
  /** The name under which traces know it; empty when the node has none. */
  readonly serviceCluster: string;
  readonly network: string;
  readonly nodeName: string;
  readonly locality: Locality;
  /** `cluster.local` */
  readonly clusterDomain: string;
  readonly interceptionMode: "REDIRECT" | "TPROXY" | "NONE";
  readonly dnsCapture: boolean;
  readonly istioVersion: string;
  readonly metadata: JsonObject;
}

export interface XdsNode {
  readonly id: string;
  readonly cluster?: string;
  readonly metadata?: JsonObject;
  readonly locality?: { readonly region: string; readonly zone: string; readonly subZone: string };
}

/** Reads an xDS node; a string says why it is not a proxy that this control plane can serve. */
export function parseProxyNode(node: XdsNode): ProxyNode | string {
  const parts = node.id.split("~");
  const [type = "", ip = "", podAndNamespace = "", dnsDomain = ""] = parts;
  if (parts.length !== 4) return `node id "${shorten(node.id)}" does not have four parts separated by ~`;
  if (type !== "sidecar" && type !== "router") return `node type "${shorten(type)}" is neither sidecar nor router`;
  const metadata = node.metadata ?? {};
  const instanceIps = text(metadata["INSTANCE_IPS"])
    .split(",")
    .map((address) => address.trim())
    .filter((address) => address !== "");
  const ipAddresses = instanceIps.length > 0 ? instanceIps : ip === "" ? [] : [ip];
  if (ipAddresses.length === 0) return `node id "${shorten(node.id)}" carries no IP address`;
  const dot = podAndNamespace.lastIndexOf(".");
  const idNamespace = podAndNamespace.slice(dot + 1);
  const namespace = text(metadata["NAMESPACE"]) || idNamespace;
  if (idNamespace !== "" && namespace !== idNamespace) {
    return `node id "${shorten(node.id)}" is of another namespace than its metadata says: ${shorten(namespace)}`;
  }
  const name = text(metadata["NAME"]) || podAndNamespace.slice(0, Math.max(dot, 0));
  const interception = text(metadata["INTERCEPTION_MODE"]);
  return {
    id: node.id,
    type,
    ipAddresses,
    name,
    namespace,
    workloadName: text(metadata["WORKLOAD_NAME"]) || name,
    labels: stringMap(metadata["LABELS"]),
    serviceAccount: text(metadata["SERVICE_ACCOUNT"]),
    clusterId: text(metadata["CLUSTER_ID"]) || "Kubernetes",
    serviceCluster: node.cluster ?? "",
    network: text(metadata["NETWORK"]),
    nodeName: text(metadata["NODE_NAME"]),
    locality:
      node.locality === undefined
        ? noLocality
        : { region: node.locality.region, zone: node.locality.zone, subzone: node.locality.subZone },
    clusterDomain: clusterDomainOf(dnsDomain, namespace),
    interceptionMode: interception === "TPROXY" || interception === "NONE" ? interception : "REDIRECT",
    dnsCapture: flag(metadata["DNS_CAPTURE"]),
    istioVersion: text(metadata["ISTIO_VERSION"]),
    metadata,
  };
}

/** `default.svc.cluster.local` → `cluster.local` */
function clusterDomainOf(dnsDomain: string, namespace: string): string {
  const marker = dnsDomain.indexOf(".svc.");
  if (marker !== -1) return dnsDomain.slice(marker + 5);
  return dnsDomain === "" || dnsDomain === namespace ? "cluster.local" : dnsDomain;
}

function text(value: JsonValue | undefined): string {
  return typeof value === "string" ? value : "";
}

function flag(value: JsonValue | undefined): boolean {
  return value === true || value === "true" || value === "1";
}

function stringMap(value: JsonValue | undefined): Labels {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return {};
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}

function shorten(value: string): string {
  return value.length > 120 ? `${value.slice(0, 120)}...` : value;
}
