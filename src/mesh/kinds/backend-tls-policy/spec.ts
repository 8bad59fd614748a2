// BackendTLSPolicy as decoded.

export interface BackendTlsPolicySpec {
  readonly targetRefs: readonly PolicyTarget[];
  readonly validation: BackendTlsValidation;
  readonly options: Readonly<Record<string, string>>;
}

export interface PolicyTarget {
  readonly group: string;
  readonly kind: string;
  readonly name: string;
  /** Name of a port; empty means all. */
  readonly sectionName: string;
}

export interface BackendTlsValidation {
  readonly caCertificateRefs: readonly CaReference[];
  readonly wellKnownCACertificates: string;
  /** SNI, and the name in the certificate where no subjectAltNames are given. */
  readonly hostname: string;
  readonly subjectAltNames: readonly SubjectAltName[];
}

export interface CaReference {
  readonly group: string;
  readonly kind: string;
  readonly name: string;
}

export interface SubjectAltName {
  readonly type: "Hostname" | "URI";
  readonly hostname: string;
  readonly uri: string;
}
