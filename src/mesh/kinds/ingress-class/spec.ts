// IngressClass of Kubernetes (networking.k8s.io/v1) as decoded.

export interface IngressClassSpec {
  /** Who serves Ingresses of this class; the mesh's is `istio.io/ingress-controller`. */
  readonly controller: string;
}
