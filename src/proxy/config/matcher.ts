// Envoy's matchers, compiled once. A compiled matcher is a function plus the words that describe it in a trace.

export interface StringMatcher {
  readonly matches: (value: string) => boolean;
  /** For explain: `prefix "spiffe://cluster.local/"`. */
  readonly description: string;
}

export interface HeaderMatcher {
  /** Lower case; `:path`, `:method`, `:authority` and `:scheme` are allowed. */
  readonly name: string;
  /** The value is undefined when the header is absent; several values are joined with a comma. */
  readonly matches: (value: string | undefined) => boolean;
  readonly description: string;
}

export interface CidrSet {
  readonly contains: (address: string) => boolean;
  readonly ranges: readonly string[];
}
