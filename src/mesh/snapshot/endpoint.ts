// One address that serves one port of a service, and the workload behind it.
import type { Labels } from "../objects/fields/selector.ts";

export interface Endpoint {
  /** IP, DNS name (for DNS-resolved services), or `unix://path`. */
  readonly address: string;
  readonly port: number;
  readonly servicePortName: string;
  readonly workload: Workload;
  readonly health: "healthy" | "unhealthy" | "draining";
  /** At least 1. */
  readonly weight: number;
  readonly network: string;
}

export interface Workload {
  /** Name of the controller (Deployment) where known, else of the pod or entry. */
  readonly name: string;
  readonly namespace: string;
  readonly labels: Labels;
  /** Name only; empty when unknown. */
  readonly serviceAccount: string;
  /** `spiffe://<trust domain>/ns/<ns>/sa/<sa>`; empty when the service account is unknown. */
  readonly identity: string;
  readonly clusterId: string;
  readonly canonicalName: string;
  readonly canonicalRevision: string;
  readonly locality: Locality;
  /** `istio` when the workload's sidecar takes mutual TLS on this port. */
  readonly tlsMode: "istio" | "disabled";
  readonly nodeName: string;
  readonly hostname: string;
}

export interface Locality {
  readonly region: string;
  readonly zone: string;
  readonly subzone: string;
}

export const noLocality: Locality = { region: "", zone: "", subzone: "" };

/** Reads `region/zone/subzone`. */
export function parseLocality(text: string, separator = "/"): Locality {
  if (text === "") return noLocality;
  const [region = "", zone = "", subzone = ""] = text.split(separator);
  return { region, zone, subzone };
}
