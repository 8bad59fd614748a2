// Renders Istio's standard labels, once for each combination of peers, service and response class.
import type { DestinationService } from "./destination-service.ts";
import type { PeerMetadata } from "./peer-metadata.ts";

/**
 * Which side of the connection this proxy is: `source` for outbound and gateways, `destination` for inbound, `waypoint`
 * for a gateway that reports for the servers behind it.
 */
type Reporter = "source" | "destination" | "waypoint";

export interface LabelFacts {
  readonly reporter: Reporter;
  readonly source: PeerMetadata | null;
  readonly destination: PeerMetadata | null;
  readonly sourcePrincipal: string | undefined;
  readonly destinationPrincipal: string | undefined;
  readonly service: DestinationService;
  readonly protocol: "http" | "grpc" | "tcp";
  /** Null on TCP. */
  readonly responseCode: number | null;
  readonly grpcStatus: string | undefined;
  readonly responseFlags: string;
  readonly isMutualTls: boolean;
}

/** A label; undefined and empty values are shown as `unknown`. */
export type Label = readonly [name: string, value: string | undefined];

/** `reporter="source",source_workload="productpage-v1",...` */
export function renderLabels(labels: readonly Label[]): string {
  return labels.map(([name, value]) => `${name}="${labelValue(value)}"`).join(",");
}

/** Istio's labels in their order. */
export function standardLabels(facts: LabelFacts): Label[] {
  const { source, destination, service } = facts;
  const namespace =
    service.namespace === "unknown" && destination?.namespace ? destination.namespace : service.namespace;
  const labels: Label[] = [
    ["reporter", facts.reporter],
    ["source_workload", source?.workload],
    ["source_canonical_service", source?.canonicalService],
    ["source_canonical_revision", source?.canonicalRevision],
    ["source_workload_namespace", source?.namespace],
    ["source_principal", facts.sourcePrincipal],
    ["source_app", source?.app],
    ["source_version", source?.version],
    ["source_cluster", source?.cluster],
    ["destination_workload", destination?.workload],
    ["destination_workload_namespace", destination?.namespace],
    ["destination_principal", facts.destinationPrincipal],
    ["destination_app", destination?.app],
    ["destination_version", destination?.version],
    ["destination_service", service.host],
    ["destination_canonical_service", destination?.canonicalService],
    ["destination_canonical_revision", destination?.canonicalRevision],
    ["destination_service_name", service.name],
    ["destination_service_namespace", namespace],
    ["destination_cluster", destination?.cluster],
    ["request_protocol", facts.protocol],
  ];
  if (facts.responseCode !== null) {
    labels.push(["response_code", String(facts.responseCode)]);
    // Empty, not unknown: plain HTTP has none.
    labels.push(["grpc_response_status", facts.grpcStatus ?? "\u0000"]);
  }
  labels.push(["response_flags", facts.responseFlags === "" ? "-" : facts.responseFlags]);
  labels.push(["connection_security_policy", securityPolicy(facts)]);
  return labels;
}

/** Only the server can tell what protected the connection. */
function securityPolicy(facts: LabelFacts): string {
  if (facts.reporter === "source") return "unknown";
  return facts.isMutualTls ? "mutual_tls" : "none";
}

function labelValue(value: string | undefined): string {
  if (value === "\u0000") return "";
  if (value === undefined || value === "") return "unknown";
  if (!/["\\\n]/.test(value)) return value;
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
