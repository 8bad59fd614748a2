// Kubernetes EndpointSlice: which addresses serve which ports of a Service, and whether they are ready.

export interface EndpointSliceSpec {
  /** From the label `kubernetes.io/service-name`. */
  readonly serviceName: string;
  readonly addressType: string;
  readonly endpoints: readonly SliceEndpoint[];
  readonly ports: readonly { readonly name: string; readonly port: number; readonly protocol: string }[];
}

export interface SliceEndpoint {
  readonly addresses: readonly string[];
  /** Unknown counts as ready, as Kubernetes says. */
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly targetRef?: { readonly kind: string; readonly namespace: string; readonly name: string };
  readonly nodeName: string;
  readonly zone: string;
  readonly hostname: string;
}

export const serviceNameLabel = "kubernetes.io/service-name";
