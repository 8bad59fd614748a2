// What a new configuration of a listener means for connections that are open.
import type { FilterChainConfig, ListenerConfig } from "../config/listener.ts";
import { matchFilterChain } from "../decide/filter-chain.ts";
import type { NetworkConnection } from "../network/connection.ts";
import { subjectOf } from "../network/filters/rbac/filter.ts";
import { chainsFor, inspectionNeed } from "./inspection.ts";

/** The new configuration, in which chains that did not change are the old objects: what hangs on them is kept. */
export function withKeptChains(config: ListenerConfig, before: ListenerConfig): ListenerConfig {
  const known = new Map(chainsOf(before).map((chain) => [chain.fingerprint, chain]));
  const keep = (chain: FilterChainConfig): FilterChainConfig => known.get(chain.fingerprint) ?? chain;
  const { filterChains, defaultFilterChain } = config;
  if (!chainsOf(config).some((chain) => known.has(chain.fingerprint))) return config;
  return {
    ...config,
    filterChains: filterChains.map(keep),
    defaultFilterChain: defaultFilterChain === null ? null : keep(defaultFilterChain),
  };
}

function chainsOf({ filterChains, defaultFilterChain }: ListenerConfig): readonly FilterChainConfig[] {
  return defaultFilterChain === null ? filterChains : [...filterChains, defaultFilterChain];
}

/** Why a connection whose chain is gone would not be let in any more; null when it would. */
export function whyRevoked(config: ListenerConfig, { info }: NetworkConnection): string | null {
  const chain = matchFilterChain(config, info, null);
  if (chain === null) {
    if (!info.isTls && chainsFor(config, info.destinationPort).every(({ tls }) => tls !== null)) {
      return "TLS is required now";
    }
    // Where nobody looked at its first bytes, the chain that would be for them is not known.
    const need = inspectionNeed(config, info.destinationPort);
    const isUnknown = !info.isInspected && (need.tls || need.http);
    return isUnknown ? null : "no filter chain is for this connection any more";
  }
  if (chain.tls !== null && !info.isTls) return "TLS is required now";
  if (chain.tls?.requireClientCertificate === true && info.peer === null) return "a client certificate is required now";
  const subject = subjectOf(info);
  for (const filter of chain.filters) {
    const outcome = filter.decide?.({ subject, draw: 0, cluster: null }, null);
    if (outcome?.refusal != null) return outcome.refusal;
  }
  return null;
}
