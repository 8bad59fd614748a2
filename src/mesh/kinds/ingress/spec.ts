// Ingress of Kubernetes (networking.k8s.io/v1) as decoded.

export interface IngressSpec {
  readonly ingressClassName: string;
  readonly defaultBackend?: IngressBackend;
  readonly tls: readonly IngressTls[];
  readonly rules: readonly IngressRule[];
}

export interface IngressTls {
  /** Empty: every host. */
  readonly hosts: readonly string[];
  readonly secretName: string;
}

export interface IngressRule {
  /** Empty: every host. */
  readonly host: string;
  readonly http?: { readonly paths: readonly IngressPath[] };
}

export const PathType = {
  Exact: "Exact",
  Prefix: "Prefix",
  ImplementationSpecific: "ImplementationSpecific",
} as const;
export type PathType = (typeof PathType)[keyof typeof PathType];

export interface IngressPath {
  readonly path: string;
  /** Undefined where none is written: an API server refuses that. */
  readonly pathType?: PathType;
  readonly backend?: IngressBackend;
}

export interface IngressBackend {
  readonly service?: { readonly name: string; readonly port?: { readonly name: string; readonly number: number } };
  readonly resource?: { readonly apiGroup: string; readonly kind: string; readonly name: string };
}
