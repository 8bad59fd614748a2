// A ConfigMap as far as it holds trusted roots (PEM, not yet looked at), or what runs a Gateway.

export interface ConfigMapSpec {
  readonly roots?: string;
  /** YAML by part of a Gateway's infrastructure, not yet looked at. */
  readonly infrastructure?: Readonly<Partial<Record<InfrastructurePart, string>>>;
}

/** Keys of a ConfigMap that changes what runs a Gateway, by Istio's names. */
export const infrastructureParts = [
  "serviceAccount",
  "deployment",
  "service",
  "horizontalPodAutoscaler",
  "podDisruptionBudget",
] as const;
export type InfrastructurePart = (typeof infrastructureParts)[number];
