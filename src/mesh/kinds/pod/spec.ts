// Kubernetes Pod: the part of it that the mesh reads, status included.

export interface PodSpec {
  readonly serviceAccountName: string;
  readonly nodeName: string;
  readonly hostname: string;
  readonly subdomain: string;
  readonly hostNetwork: boolean;
  readonly containers: readonly { readonly name: string; readonly ports: readonly ContainerPort[] }[];
  readonly phase: string;
  readonly podIPs: readonly string[];
  readonly ready: boolean;
  readonly terminating: boolean;
}

export interface ContainerPort {
  readonly name: string;
  readonly containerPort: number;
  readonly protocol: string;
}
