// Runtime shape of an RBAC policy set (network and HTTP), with the words and the origin for explain.
import type { Origin } from "#base/issue.ts";

/** What an RBAC rule may look at. HTTP parts are undefined on TCP, and a condition on them is then false. */
export interface RbacSubject {
  /** URI SAN of the verified peer certificate. */
  readonly peerId: string | undefined;
  /** Address of the direct peer, and the address after trusted x-forwarded-for hops. */
  readonly directRemoteIp: string;
  readonly remoteIp: string;
  readonly destinationIp: string;
  readonly destinationPort: number;
  readonly requestedServerName: string;
  /** Path without query. */
  readonly path: string | undefined;
  /** Lower-case name; pseudo headers included. */
  readonly header: ((name: string) => string | undefined) | undefined;
  /** The values of a header that stands in several lines, each for itself. */
  readonly headerLines?: (name: string) => readonly string[];
  /** Dynamic metadata by filter name, as JSON (JWT claims). */
  readonly metadata: ((filter: string) => unknown) | undefined;
}

export type RbacPredicate = (subject: RbacSubject) => boolean;

export interface RbacPolicy {
  /** `ns[default]-policy[allow-productpage]-rule[0]`. */
  readonly name: string;
  readonly matches: RbacPredicate;
  /** Each condition apart, so that explain can name the nearest miss. */
  readonly conditions: readonly { readonly description: string; readonly matches: RbacPredicate }[];
  readonly origin: Origin | null;
}

export interface RbacRules {
  readonly action: "allow" | "deny" | "log";
  readonly policies: readonly RbacPolicy[];
}

export interface RbacVerdict {
  readonly allowed: boolean;
  /** The policy that matched; null when none did. */
  readonly policy: RbacPolicy | null;
  /** Only when traced and no policy matched: the policy with the fewest failed conditions. */
  readonly nearestMiss: NearestMiss | null;
}

export interface NearestMiss {
  readonly policy: RbacPolicy;
  /** What would have had to be true. */
  readonly failed: readonly string[];
}
