// XBackendTrafficPolicy as decoded.
import type { SessionPersistence } from "../../objects/fields/session-persistence.ts";

export interface BackendTrafficPolicySpec {
  readonly targetRefs: readonly TrafficPolicyTarget[];
  readonly retryConstraint?: RetryConstraint;
  readonly sessionPersistence?: SessionPersistence;
}

export interface TrafficPolicyTarget {
  readonly group: string;
  readonly kind: string;
  readonly name: string;
}

export interface RetryConstraint {
  readonly budget?: {
    /** Share of the requests that may be retries. */
    readonly percent?: number;
    readonly interval?: number;
  };
  /** Retries that are always let through. */
  readonly minRetryRate?: { readonly count?: number; readonly interval?: number };
}
