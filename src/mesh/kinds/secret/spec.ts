// A Kubernetes Secret as far as it holds certificates. All of it is PEM, not yet looked at.

export interface SecretSpec {
  readonly certificate?: string;
  /** Never logged, reported or dumped. */
  readonly key?: string;
  /** Trusted roots. */
  readonly roots?: string;
  readonly revocationList?: string;
}
