// PeerAuthentication as decoded: whether a workload takes plaintext, mutual TLS, or both.
import type { WorkloadSelector } from "../../objects/fields/selector.ts";

export const MtlsMode = {
  Unset: "UNSET",
  Disable: "DISABLE",
  Permissive: "PERMISSIVE",
  Strict: "STRICT",
} as const;
export type MtlsMode = (typeof MtlsMode)[keyof typeof MtlsMode];

/** What is in force after inheritance. */
export type EffectiveMtlsMode = Exclude<MtlsMode, "UNSET">;

export interface PeerAuthenticationSpec {
  readonly selector?: WorkloadSelector;
  /** UNSET inherits. */
  readonly mtls: { readonly mode: MtlsMode };
  /** Keyed by the workload's port (target port), as text. */
  readonly portLevelMtls: Readonly<Record<string, { readonly mode: MtlsMode }>>;
}
