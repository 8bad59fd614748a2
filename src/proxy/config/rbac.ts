// Runtime shape of an RBAC policy set (network and HTTP), with the words and the origin for explain.
import type { PolicyOrigin } from "#wire/xds/provenance.ts";

/** Names in a peer's verified certificate. */
export interface PeerNames {
  readonly uriSans: readonly string[];
  readonly dnsSans: readonly string[];
  /** RFC 2253; may be empty. */
  readonly subject: string;
}

/** A header's value; a list when the header stands there more than once. */
export type HeaderValue = string | readonly string[] | undefined;

/** What a filter that decides may look at. HTTP parts are undefined on TCP, and a condition on them is then false. */
export interface RbacSubject {
  /** Null without a certificate that was verified. */
  readonly peer: PeerNames | null;
  /** Who holds the other end of the socket. */
  readonly directRemoteIp: string;
  /** The same, or what a PROXY header says. */
  readonly sourceIp: string;
  /** The same, or the address after trusted x-forwarded-for hops. */
  readonly remoteIp: string;
  readonly sourcePort: number;
  readonly destinationIp: string;
  readonly destinationPort: number;
  readonly requestedServerName: string;
  /** Path without query, as routes are chosen by it. Undefined for CONNECT. */
  readonly path: string | undefined;
  /** Lower-case name; pseudo headers included. Several lines are joined by commas. */
  readonly header: ((name: string) => string | undefined) | undefined;
  /** As `header`, with repeated lines apart. */
  readonly headerValues: ((name: string) => HeaderValue) | undefined;
  /** Dynamic metadata by filter name, as JSON (JWT claims). */
  readonly metadata: ((filter: string) => unknown) | undefined;
  /** Metadata of the chosen route by filter name, as JSON. */
  readonly routeMetadata?: ((filter: string) => unknown) | undefined;
  /** For explain: the time, and claims of a token that is taken for good. */
  readonly nowSeconds?: number;
  readonly claims?: Readonly<Record<string, unknown>>;
}

export type RbacPredicate = (subject: RbacSubject) => boolean;

interface RbacCondition {
  readonly description: string;
  readonly matches: RbacPredicate;
}

export interface RbacPolicy {
  /** `ns[default]-policy[allow-productpage]-rule[0]`. */
  readonly name: string;
  readonly matches: RbacPredicate;
  /** Each condition apart, so that explain can name the nearest miss. */
  readonly conditions: readonly RbacCondition[];
  readonly origin: PolicyOrigin | null;
}

/** A policy that was left out of the rules because it could not match anything here. */
export interface LeftOutPolicy {
  readonly name: string;
  readonly origin: PolicyOrigin;
}

export type RbacAction = "allow" | "deny" | "log";

export interface RbacRules {
  readonly action: RbacAction;
  /** In the order in which they are asked. */
  readonly policies: readonly RbacPolicy[];
  /** Present when looking a peer's policies up pays. */
  readonly index?: PolicyIndex;
  /** Of rules that allow; said when nothing matches. */
  readonly leftOut?: readonly LeftOutPolicy[];
  /** Decides in place of the policies. */
  readonly tree?: RbacTree;
}

/** Policies by the peers that they are about. */
export interface PolicyIndex {
  /** Positions in `policies` by the one name of a peer, ascending. */
  readonly byName: ReadonlyMap<string, readonly number[]>;
  /** Those that may be about any peer. */
  readonly general: readonly number[];
}

export interface RbacFinding {
  readonly action: RbacAction;
  readonly policy: RbacPolicy;
}

/** A matching tree (`matcher`): what it finds decides, and finding nothing denies. */
export interface RbacTree {
  readonly find: (subject: RbacSubject) => RbacFinding | null;
  /** Whether any of its actions is LOG. */
  readonly logs: boolean;
}

export interface RbacVerdict {
  readonly allowed: boolean;
  /** The policy that matched; null when none did. */
  readonly policy: RbacPolicy | null;
  /** Only when traced and no policy matched: the policy with the fewest failed conditions. */
  readonly nearestMiss: NearestMiss | null;
  /** What LOG rules say to access logs; absent for others. */
  readonly accessLogHint?: boolean;
}

export interface NearestMiss {
  readonly policy: RbacPolicy;
  /** What would have had to be true. */
  readonly failed: readonly string[];
}
