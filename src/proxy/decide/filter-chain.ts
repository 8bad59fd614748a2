// HOT: per connection. Envoy's filter chain match, in its order: destination port, destination prefix, server name,
// transport protocol, application protocol, direct source prefix, source type, source prefix, source port. Each step
// takes the most specific group and never goes back, as Envoy does. Compiled once for a listener; a criterion that no
// chain of a group names costs nothing.

import { cidrMap } from "#base/net/cidr-map.ts";
import type { ConnectionFacts, FilterChainConfig, FilterChainMatch, ListenerConfig } from "../config/listener.ts";
import { addStep, type Trace } from "../config/trace.ts";

type Find = (facts: ConnectionFacts) => FilterChainConfig | null;
type Chains = readonly FilterChainConfig[];

const findByListener = new WeakMap<ListenerConfig, Find>();

/** The chain for the connection: a matching one, else the listener's default, else null (the connection is closed). */
export function matchFilterChain(
  listener: ListenerConfig,
  facts: ConnectionFacts,
  trace: Trace | null,
): FilterChainConfig | null {
  let find = findByListener.get(listener);
  if (find === undefined) {
    find = compile(listener);
    findByListener.set(listener, find);
  }
  const chain = find(facts);
  if (trace !== null) traceChain(trace, listener, facts, chain);
  return chain;
}

function compile(listener: ListenerConfig): Find {
  const { filterChains, filterChainMatcher, defaultFilterChain } = listener;
  if (filterChainMatcher !== null) {
    const byName = new Map(filterChains.map((chain) => [chain.name, chain]));
    return (facts) => {
      const name = filterChainMatcher(facts);
      return name === null ? defaultFilterChain : (byName.get(name) ?? null);
    };
  }
  const find = byDestinationPort(filterChains, onlyOne);
  return (facts) => find(facts) ?? defaultFilterChain;
}

/** Two chains that would take the same connections; null when there are none. */
export function ambiguousChains(chains: Chains): readonly [FilterChainConfig, FilterChainConfig] | null {
  let found: readonly [FilterChainConfig, FilterChainConfig] | null = null;
  byDestinationPort(chains, (same) => {
    const [first, second] = same;
    if (first !== undefined && second !== undefined) found ??= [first, second];
    return onlyOne(same);
  });
  return found;
}

/** What is left when every criterion was looked at. */
type Leaf = (chains: Chains) => Find;

function onlyOne(chains: Chains): Find {
  const chain = chains[0] ?? null;
  return () => chain;
}

/** Envoy takes the chains for exactly that port, else those for any port. */
function byDestinationPort(chains: Chains, leaf: Leaf): Find {
  const groups = compileGroups(
    group(chains, (match) => [match.destinationPort ?? anyPort]),
    (same) => byDestinationIp(same, leaf),
  );
  const anywhere = groups.get(anyPort) ?? noChain;
  return groups.size === 1 && groups.has(anyPort)
    ? anywhere
    : (facts) => (groups.get(facts.destinationPort) ?? anywhere)(facts);
}

const anyPort = 0;
const noChain: Find = () => null;

function byDestinationIp(chains: Chains, leaf: Leaf): Find {
  return byAddress(
    chains,
    (match) => match.destinationRanges,
    (facts) => facts.destinationIp,
    (same) => byServerName(same, leaf),
  );
}

function byAddress(
  chains: Chains,
  rangesOf: (match: FilterChainMatch) => FilterChainMatch["sourceRanges"],
  addressOf: (facts: ConnectionFacts) => string,
  next: Leaf,
): Find {
  if (chains.every((chain) => rangesOf(chain.match) === null)) return next(chains);
  const map = cidrMap(chains, (chain) => rangesOf(chain.match)?.ranges ?? [], next);
  return (facts) => map.find(addressOf(facts))?.(facts) ?? null;
}

function byServerName(chains: Chains, leaf: Leaf): Find {
  const groups = compileGroups(
    group(chains, (match) => orAny(match.serverNames)),
    (same) => byTransport(same, leaf),
  );
  const nameless = groups.get("") ?? noChain;
  if (groups.size === 1 && groups.has("")) return nameless;
  return (facts) => (findName(groups, facts.serverName) ?? nameless)(facts);
}

/** The exact name, else the longest wildcard around it. */
function findName(groups: ReadonlyMap<string, Find>, name: string): Find | undefined {
  if (name === "") return undefined;
  let found = groups.get(name);
  for (let dot = name.indexOf(".", 1); found === undefined && dot !== -1; dot = name.indexOf(".", dot + 1)) {
    found = groups.get(`*${name.slice(dot)}`);
  }
  return found;
}

function byTransport(chains: Chains, leaf: Leaf): Find {
  const groups = compileGroups(
    group(chains, (match) => [match.transportProtocol ?? ""]),
    (same) => byApplicationProtocol(same, leaf),
  );
  const any = groups.get("") ?? noChain;
  return groups.size === 1 && groups.has("")
    ? any
    : (facts) => (groups.get(facts.transportProtocol || "raw_buffer") ?? any)(facts);
}

function byApplicationProtocol(chains: Chains, leaf: Leaf): Find {
  const groups = compileGroups(
    group(chains, (match) => orAny(match.applicationProtocols)),
    (same) => byDirectSource(same, leaf),
  );
  const any = groups.get("") ?? noChain;
  if (groups.size === 1 && groups.has("")) return any;
  return (facts) => {
    const offered = facts.applicationProtocols;
    for (let i = 0; i < offered.length; i++) {
      const found = groups.get(offered[i] as string);
      if (found !== undefined) return found(facts);
    }
    return any(facts);
  };
}

function byDirectSource(chains: Chains, leaf: Leaf): Find {
  return byAddress(
    chains,
    (match) => match.directSourceRanges,
    (facts) => facts.directSourceIp,
    (same) => bySourceType(same, leaf),
  );
}

function bySourceType(chains: Chains, leaf: Leaf): Find {
  const groups = compileGroups(
    group(chains, (match) => [match.sourceType]),
    (same) => bySourceIp(same, leaf),
  );
  const any = groups.get("any") ?? noChain;
  if (groups.size === 1 && groups.has("any")) return any;
  const local = groups.get("local") ?? any;
  const external = groups.get("external") ?? any;
  return (facts) => (isLocal(facts.sourceIp, facts.destinationIp) ? local(facts) : external(facts));
}

/** Whether a connection comes from this host itself: over loopback, a Unix socket, or from the address it goes to. */
export function isLocal(sourceIp: string, destinationIp: string): boolean {
  return (
    sourceIp === destinationIp ||
    sourceIp === "::1" ||
    sourceIp.startsWith("127.") ||
    sourceIp === "" ||
    sourceIp.startsWith("/") ||
    sourceIp.startsWith("@")
  );
}

function bySourceIp(chains: Chains, leaf: Leaf): Find {
  return byAddress(
    chains,
    (match) => match.sourceRanges,
    (facts) => facts.sourceIp,
    (same) => bySourcePort(same, leaf),
  );
}

function bySourcePort(chains: Chains, leaf: Leaf): Find {
  const groups = compileGroups(
    group(chains, (match) => (match.sourcePorts.length === 0 ? [anyPort] : match.sourcePorts)),
    leaf,
  );
  const any = groups.get(anyPort) ?? noChain;
  return groups.size === 1 && groups.has(anyPort) ? any : (facts) => (groups.get(facts.sourcePort) ?? any)(facts);
}

function orAny(values: readonly string[]): readonly string[] {
  return values.length === 0 ? [""] : values;
}

function group<K>(chains: Chains, keysOf: (match: FilterChainMatch) => readonly K[]): Map<K, FilterChainConfig[]> {
  const groups = new Map<K, FilterChainConfig[]>();
  for (const chain of chains) {
    for (const key of new Set(keysOf(chain.match))) {
      const members = groups.get(key);
      if (members === undefined) groups.set(key, [chain]);
      else members.push(chain);
    }
  }
  return groups;
}

function compileGroups<K>(groups: ReadonlyMap<K, Chains>, next: Leaf): Map<K, Find> {
  return new Map([...groups].map(([key, chains]) => [key, next(chains)]));
}

function traceChain(
  trace: Trace,
  listener: ListenerConfig,
  facts: ConnectionFacts,
  chain: FilterChainConfig | null,
): void {
  const seen = describeFacts(facts);
  if (chain === null) {
    const ofPort = listener.filterChains.filter((it) => it.match.destinationPort === facts.destinationPort);
    const candidates = ofPort.length > 0 ? ofPort : listener.filterChains;
    const words = candidates.map((candidate) => describeMatch(candidate.match)).join("; ");
    const origins = ofPort.flatMap((candidate) => candidate.provenance.origins);
    addStep(trace, "filter chain", `none of ${listener.name} matches ${seen} (it has: ${words || "none"})`, origins);
    return;
  }
  const why = chain === listener.defaultFilterChain ? "default chain" : describeMatch(chain.match);
  const name = chain.name === "" ? "unnamed chain" : chain.name;
  const tls = chain.tls === null ? "plaintext" : chain.tls.requireClientCertificate ? "mutual TLS" : "TLS";
  addStep(
    trace,
    "filter chain",
    `${name} of ${listener.name} (${why}; ${tls}) takes ${seen}`,
    chain.provenance.origins.length > 0 ? chain.provenance.origins : listener.provenance.origins,
  );
}

function describeFacts(facts: ConnectionFacts): string {
  const parts = [facts.transportProtocol === "tls" ? "TLS" : "plaintext"];
  if (facts.serverName !== "") parts.push(`SNI ${facts.serverName}`);
  if (facts.applicationProtocols.length > 0) parts.push(`ALPN ${facts.applicationProtocols.join(",")}`);
  return `${parts.join(" ")} to port ${facts.destinationPort}`;
}

/** The conditions of a chain in words: `port 9080, TLS, ALPN istio,istio-h2`. */
export function describeMatch(match: FilterChainMatch): string {
  const parts: string[] = [];
  if (match.destinationPort !== null) parts.push(`port ${match.destinationPort}`);
  if (match.destinationRanges !== null) parts.push(`to ${match.destinationRanges.ranges.join(",")}`);
  if (match.serverNames.length > 0) parts.push(`SNI ${match.serverNames.join(",")}`);
  if (match.transportProtocol !== null) parts.push(match.transportProtocol === "tls" ? "TLS" : "plaintext");
  if (match.applicationProtocols.length > 0) parts.push(`ALPN ${match.applicationProtocols.join(",")}`);
  if (match.directSourceRanges !== null) parts.push(`directly from ${match.directSourceRanges.ranges.join(",")}`);
  if (match.sourceType !== "any") parts.push(match.sourceType === "local" ? "from this host" : "from other hosts");
  if (match.sourceRanges !== null) parts.push(`from ${match.sourceRanges.ranges.join(",")}`);
  if (match.sourcePorts.length > 0) parts.push(`from port ${match.sourcePorts.join(",")}`);
  return parts.length === 0 ? "matches everything" : parts.join(", ");
}
