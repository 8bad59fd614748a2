// HOT: per connection. Envoy's filter chain match: port, destination prefix, server name, transport protocol,
// application protocol, source prefix. Each step takes the most specific group and never goes back, as Envoy does.
// The nested index is made once for a listener.

import { type CidrMap, cidrMap } from "#base/net/cidr-map.ts";
import type { FilterChainConfig, FilterChainMatch, ListenerConfig } from "../config/listener.ts";
import { addStep, type Trace } from "../config/trace.ts";

/** What a listener knows of a connection before it chooses a chain. A `ConnectionInfo` is one. */
export interface ConnectionFacts {
  readonly destinationIp: string;
  readonly destinationPort: number;
  readonly sourceIp: string;
  readonly transportProtocol: "" | "tls" | "raw_buffer";
  readonly serverName: string;
  readonly applicationProtocols: readonly string[];
}

type BySource = CidrMap<FilterChainConfig>;
type ByProtocol = ReadonlyMap<string, BySource>;
type ByTransport = ReadonlyMap<string, ByProtocol>;
type ByServerName = ReadonlyMap<string, ByTransport>;
type ByDestination = CidrMap<ByServerName>;
type ByPort = ReadonlyMap<number, ByDestination>;

const indexByListener = new WeakMap<ListenerConfig, ByPort>();

/** The chain for the connection: a matching one, else the listener's default, else null (the connection is closed). */
export function matchFilterChain(
  listener: ListenerConfig,
  facts: ConnectionFacts,
  trace: Trace | null,
): FilterChainConfig | null {
  let index = indexByListener.get(listener);
  if (index === undefined) {
    index = buildIndex(listener.filterChains);
    indexByListener.set(listener, index);
  }
  const chain = findByPort(index, facts) ?? listener.defaultFilterChain;
  if (trace !== null) traceChain(trace, listener, facts, chain);
  return chain;
}

function findByPort(index: ByPort, facts: ConnectionFacts): FilterChainConfig | null {
  const forPort = index.get(facts.destinationPort) ?? index.get(anyPort);
  if (forPort === undefined) return null;
  const byServerName = forPort.find(facts.destinationIp);
  return byServerName === null ? null : findByServerName(byServerName, facts);
}

function findByServerName(index: ByServerName, facts: ConnectionFacts): FilterChainConfig | null {
  const name = facts.serverName;
  if (name !== "") {
    const exact = index.get(name);
    if (exact !== undefined) return findByTransport(exact, facts);
    for (let dot = name.indexOf(".", 1); dot !== -1; dot = name.indexOf(".", dot + 1)) {
      const wildcard = index.get(`*${name.slice(dot)}`);
      if (wildcard !== undefined) return findByTransport(wildcard, facts);
    }
  }
  const any = index.get("");
  return any === undefined ? null : findByTransport(any, facts);
}

function findByTransport(index: ByTransport, facts: ConnectionFacts): FilterChainConfig | null {
  const found = index.get(facts.transportProtocol || "raw_buffer") ?? index.get("");
  return found === undefined ? null : findByProtocol(found, facts);
}

function findByProtocol(index: ByProtocol, facts: ConnectionFacts): FilterChainConfig | null {
  const offered = facts.applicationProtocols;
  for (let i = 0; i < offered.length; i++) {
    const found = index.get(offered[i] as string);
    if (found !== undefined) return found.find(facts.sourceIp);
  }
  return index.get("")?.find(facts.sourceIp) ?? null;
}

const anyPort = 0;

function buildIndex(chains: readonly FilterChainConfig[]): ByPort {
  const byPort = group(chains, (chain) => [chain.match.destinationPort ?? anyPort]);
  return mapValues(byPort, (samePort) =>
    cidrMap(
      samePort,
      (chain) => chain.match.destinationRanges?.ranges ?? [],
      (sameRange) =>
        mapValues(
          group(sameRange, (chain) => orAny(chain.match.serverNames)),
          (sameName) =>
            mapValues(
              group(sameName, (chain) => [chain.match.transportProtocol ?? ""]),
              (sameTransport) =>
                mapValues(
                  group(sameTransport, (chain) => orAny(chain.match.applicationProtocols)),
                  (sameProtocol) => cidrMap(sameProtocol, (chain) => chain.match.sourceRanges?.ranges ?? [], firstOf),
                ),
            ),
        ),
    ),
  );
}

function orAny(values: readonly string[]): readonly string[] {
  return values.length === 0 ? [""] : values;
}

function firstOf(chains: readonly FilterChainConfig[]): FilterChainConfig {
  return chains[0] as FilterChainConfig;
}

function group<K>(
  chains: readonly FilterChainConfig[],
  keysOf: (chain: FilterChainConfig) => readonly K[],
): Map<K, FilterChainConfig[]> {
  const groups = new Map<K, FilterChainConfig[]>();
  for (const chain of chains) {
    for (const key of keysOf(chain)) {
      const members = groups.get(key);
      if (members === undefined) groups.set(key, [chain]);
      else members.push(chain);
    }
  }
  return groups;
}

function mapValues<K, V, R>(map: ReadonlyMap<K, V>, change: (value: V) => R): Map<K, R> {
  return new Map([...map].map(([key, value]) => [key, change(value)]));
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
  if (match.sourceRanges !== null) parts.push(`from ${match.sourceRanges.ranges.join(",")}`);
  return parts.length === 0 ? "matches everything" : parts.join(", ");
}
