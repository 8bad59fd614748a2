// Istio's peer metadata headers: `x-envoy-peer-metadata-id` carries the node id, `x-envoy-peer-metadata` a base64
// protobuf Struct that describes the workload. Both directions, with a bounded cache of what peers sent.
import { fromBinary, fromJson, type JsonObject, toBinary } from "@bufbuild/protobuf";
import { StructSchema, type Value } from "@bufbuild/protobuf/wkt";
import { LRUCache } from "lru-cache";
import type { PeerFields } from "../config/access-log.ts";

/** A workload as its peers know it. Empty strings mean unknown. */
export interface PeerMetadata {
  readonly workload: string;
  readonly namespace: string;
  readonly cluster: string;
  readonly canonicalService: string;
  readonly canonicalRevision: string;
  readonly app: string;
  readonly version: string;
}

/** By the names of Istio's peer object. */
export function peerFields(peer: PeerMetadata): PeerFields {
  const { workload, namespace, cluster, canonicalService, canonicalRevision, app, version } = peer;
  return { workload, namespace, cluster, service: canonicalService, revision: canonicalRevision, app, version };
}

/** Longest header value that is decoded; Istio's own are below 1 KiB. */
const maxHeaderLength = 8 * 1024;

/** Reads the base64 header; null when it is not a Struct or too long. */
function decodePeerMetadata(header: string): PeerMetadata | null {
  if (header.length === 0 || header.length > maxHeaderLength) return null;
  try {
    const fields = fromBinary(StructSchema, Buffer.from(header, "base64")).fields;
    const labels = fields["LABELS"]?.kind.case === "structValue" ? fields["LABELS"].kind.value.fields : {};
    const workload = text(fields["WORKLOAD_NAME"]);
    return {
      workload,
      namespace: text(fields["NAMESPACE"]),
      cluster: text(fields["CLUSTER_ID"]),
      canonicalService: text(labels["service.istio.io/canonical-name"]) || workload,
      canonicalRevision: text(labels["service.istio.io/canonical-revision"]) || "latest",
      app: text(labels["app"]),
      version: text(labels["version"]),
    };
  } catch {
    return null; // a peer may send anything; unknown is the answer
  }
}

/** Both header values for this proxy's node, made once at start. */
export function encodePeerMetadata(node: { readonly id: string; readonly metadata: JsonObject }): {
  readonly id: string;
  readonly metadata: string;
} {
  const kept: JsonObject = {};
  for (const key of ["CLUSTER_ID", "INSTANCE_IPS", "ISTIO_VERSION", "MESH_ID", "NAME", "NAMESPACE", "OWNER"]) {
    const value = node.metadata[key];
    if (value !== undefined) kept[key] = value;
  }
  if (node.metadata["WORKLOAD_NAME"] !== undefined) kept["WORKLOAD_NAME"] = node.metadata["WORKLOAD_NAME"];
  kept["LABELS"] = keptLabels(node.metadata["LABELS"]);
  const bytes = toBinary(StructSchema, fromJson(StructSchema, kept));
  return { id: node.id, metadata: Buffer.from(bytes).toString("base64") };
}

/** The description of our own workload, from the node's metadata. */
export function localMetadata(metadata: JsonObject): PeerMetadata {
  const labels = keptLabels(metadata["LABELS"]);
  const string = (value: unknown): string => (typeof value === "string" ? value : "");
  const workload = string(metadata["WORKLOAD_NAME"]);
  return {
    workload,
    namespace: string(metadata["NAMESPACE"]),
    cluster: string(metadata["CLUSTER_ID"]),
    canonicalService: string(labels["service.istio.io/canonical-name"]) || workload,
    canonicalRevision: string(labels["service.istio.io/canonical-revision"]) || "latest",
    app: string(labels["app"]),
    version: string(labels["version"]),
  };
}

/** Endpoint metadata `istio.workload`: workload;namespace;canonicalName;canonicalRevision;clusterId. */
export function metadataOfEndpoint(workload: string): PeerMetadata | null {
  if (workload === "") return null;
  const [name = "", namespace = "", canonicalService = "", canonicalRevision = "", cluster = ""] = workload.split(";");
  return {
    workload: name,
    namespace,
    cluster,
    canonicalService: canonicalService || name,
    canonicalRevision: canonicalRevision || "latest",
    app: "",
    version: "",
  };
}

/** Remembers decoded headers, so that equal headers give the same object and cost one lookup. */
export class PeerMetadataCache {
  readonly #byHeader = new LRUCache<string, { readonly metadata: PeerMetadata | null }>({ max: 500 });

  get(header: string | undefined): PeerMetadata | null {
    if (header === undefined) return null;
    let entry = this.#byHeader.get(header);
    if (entry === undefined) {
      entry = { metadata: decodePeerMetadata(header) };
      this.#byHeader.set(header, entry);
    }
    return entry.metadata;
  }
}

const labelNames = ["app", "version", "service.istio.io/canonical-name", "service.istio.io/canonical-revision"];

function keptLabels(labels: unknown): JsonObject {
  const kept: JsonObject = {};
  if (typeof labels !== "object" || labels === null) return kept;
  const all = labels as Readonly<Record<string, unknown>>;
  for (const name of labelNames) {
    const value = all[name];
    if (typeof value === "string") kept[name] = value;
  }
  return kept;
}

function text(value: Value | undefined): string {
  return value?.kind.case === "stringValue" ? value.kind.value : "";
}
