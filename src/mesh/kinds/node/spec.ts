// Kubernetes Node: its labels carry the locality; the addresses serve gateways on node ports.

export interface NodeSpec {
  readonly addresses: readonly { readonly type: string; readonly address: string }[];
}

export const localityLabels = {
  region: "topology.kubernetes.io/region",
  zone: "topology.kubernetes.io/zone",
  subzone: "topology.istio.io/subzone",
} as const;
