// Kubernetes Service: the part of it that the mesh reads.
import type { Labels } from "../../objects/fields/selector.ts";

export interface ServiceSpec {
  readonly type: string;
  readonly clusterIP: string;
  readonly clusterIPs: readonly string[];
  readonly externalName: string;
  readonly externalIPs: readonly string[];
  /** Of the load balancer that was given to it. */
  readonly ingressIPs: readonly string[];
  /** Names of the load balancer that have no address beside them. */
  readonly ingressHostnames: readonly string[];
  readonly ports: readonly ServicePortSpec[];
  readonly selector: Labels;
  readonly publishNotReadyAddresses: boolean;
  readonly internalTrafficPolicy: string;
  readonly trafficDistribution: string;
}

export interface ServicePortSpec {
  readonly name: string;
  readonly port: number;
  /** TCP, UDP or SCTP. */
  readonly protocol: string;
  /** A number, or the name of a container port; equal to `port` when not set. */
  readonly targetPort: number | string;
  readonly nodePort: number;
  readonly appProtocol: string;
}

/** Annotation with the namespaces that see a Service. */
export const exportToAnnotation = "networking.istio.io/exportTo";

/** Annotation that says the same as `trafficDistribution`, also of a ServiceEntry. */
export const trafficDistributionAnnotation = "networking.istio.io/traffic-distribution";

export type TrafficDistribution = "any" | "same-zone" | "same-node";
