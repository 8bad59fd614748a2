// A ConfigMap as far as it holds trusted roots: PEM, not yet looked at.

export interface ConfigMapSpec {
  readonly roots?: string;
}
