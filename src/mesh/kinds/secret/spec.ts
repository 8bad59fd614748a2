// A Kubernetes Secret as far as it holds certificates (all of it PEM, not yet looked at) or credentials for registries.

export interface SecretSpec {
  readonly certificate?: string;
  /** Never logged, reported or dumped. */
  readonly key?: string;
  /** Trusted roots. */
  readonly roots?: string;
  readonly revocationList?: string;
  /** JSON with credentials for registries of images. Never logged, reported or dumped. */
  readonly dockerConfig?: string;
}
