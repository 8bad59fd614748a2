// envoy.config.listener.v3.Listener to a listener's runtime shape.
import { createHash } from "node:crypto";
import { toBinary } from "@bufbuild/protobuf";
import {
  type FilterChainMatch as EnvoyMatch,
  type FilterChain,
  FilterChainSchema,
  FilterChainMatch_ConnectionSourceType as SourceType,
} from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import { Listener_DrainType as DrainType, type Listener } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import { ambiguousChains } from "../decide/filter-chain.ts";
import { decodeAccessLogs } from "./decode-access-log.ts";
import { decodeChainMatcher } from "./decode-chain-matcher.ts";
import { decodeListenerFilters } from "./decode-listener-filters.ts";
import { decodeNetworkFilters } from "./decode-network-filters.ts";
import { decodeDownstreamTls } from "./decode-tls.ts";
import {
  type ChainMatcher,
  type FilterChainConfig,
  type FilterChainMatch,
  type ListenerConfig,
  matchesEverything,
  type TrafficDirection,
} from "./listener.ts";
import { decodeSocketOptions } from "./parse/socket-options.ts";
import { decodeRanges, milliseconds, provenanceOf, socketAddress } from "./parse/values.ts";
import { type Decoded, Problems } from "./problems.ts";
import type { SocketOption } from "./socket.ts";

/** Decodes an LDS resource or a static listener. */
export function decodeListener(listener: Listener): Decoded<ListenerConfig> {
  const problems = new Problems("listener", listener.name);
  if (listener.name === "") problems.invalid("name", "is missing");
  if (listener.udpListenerConfig !== undefined) problems.unsupported("udp_listener_config", "UDP");
  if (listener.apiListener !== undefined) problems.unsupported("api_listener", "a listener without a socket");
  if (listener.listenerSpecifier.case !== undefined) problems.unsupported("internal_listener", "an internal listener");
  if (listener.filterChains.length === 0 && listener.defaultFilterChain === undefined) {
    problems.invalid("filter_chains", "is empty");
  }
  const filters = decodeListenerFilters(listener.listenerFilters, problems);
  const filterChains = listener.filterChains.map((it, i) => decodeChain(it, `filter_chains[${i}]`, problems));
  const filterChainMatcher = decodeMatcher(listener, problems);
  if (filterChainMatcher === null) refuseAmbiguity(filterChains, problems);
  return problems.done<ListenerConfig>({
    name: listener.name,
    direction: listener.trafficDirection as TrafficDirection,
    ...socketAddress(listener.address, "address", problems),
    ...decodeSocket(listener, problems),
    bindToPort: listener.bindToPort ?? listener.deprecatedV1?.bindToPort ?? true,
    useOriginalDst: listener.useOriginalDst ?? false,
    ...filters,
    bufferLimitBytes: listener.perConnectionBufferLimitBytes ?? 0,
    listenerFiltersTimeoutMs: milliseconds(listener.listenerFiltersTimeout, 15_000),
    continueOnListenerFiltersTimeout: listener.continueOnListenerFiltersTimeout,
    filterChains,
    filterChainMatcher,
    defaultFilterChain:
      listener.defaultFilterChain === undefined
        ? null
        : decodeChain(listener.defaultFilterChain, "default_filter_chain", problems),
    accessLog: decodeAccessLogs(listener.accessLog, "access_log", problems),
    provenance: provenanceOf(listener.metadata),
  });
}

type SocketFields =
  | "additionalAddresses"
  | "backlog"
  | "socketOptions"
  | "statPrefix"
  | "isInGlobalLimit"
  | "drainsOnlyWhenModified"
  | "isTransparent";

/** What is said of the sockets themselves. */
function decodeSocket(listener: Listener, problems: Problems): Pick<ListenerConfig, SocketFields> {
  const isTransparent = listener.transparent ?? false;
  const socketOptions = [
    ...implied(isTransparent, listener.freebind ?? false, listener.tcpFastOpenQueueLength ?? 0),
    ...decodeSocketOptions(listener.socketOptions, "socket_options", problems),
  ];
  if (listener.connectionBalanceConfig !== undefined) {
    problems.leftOut("connection_balance_config", "balancing of connections between event loops");
  }
  if (listener.enableMptcp) problems.leftOut("enable_mptcp", "multipath TCP");
  return {
    additionalAddresses: listener.additionalAddresses.map(({ address, socketOptions: own }, i) => {
      const path = `additional_addresses[${i}]`;
      return {
        ...socketAddress(address, `${path}.address`, problems),
        socketOptions:
          own === undefined
            ? socketOptions
            : decodeSocketOptions(own.socketOptions, `${path}.socket_options.socket_options`, problems),
      };
    }),
    backlog: listener.tcpBacklogSize ?? 0,
    socketOptions,
    statPrefix: listener.statPrefix,
    isInGlobalLimit: !listener.ignoreGlobalConnLimit && !listener.bypassOverloadManager,
    drainsOnlyWhenModified: listener.drainType === DrainType.MODIFY_ONLY,
    isTransparent,
  };
}

/** The socket options that other fields stand for. */
function implied(isTransparent: boolean, isFreebind: boolean, fastOpenQueue: number): SocketOption[] {
  return [
    // An address that is not of this machine can be bound with it, so it comes first.
    ...(isTransparent ? [{ ...option(0, 19, 1, "IP_TRANSPARENT"), isPrebind: true }] : []),
    ...(isFreebind ? [{ ...option(0, 15, 1, "IP_FREEBIND"), isPrebind: true }] : []),
    // An int for the system, which cuts it down to its own limit anyway.
    ...(fastOpenQueue > 0 ? [option(6, 23, Math.min(fastOpenQueue, 0x7fffffff), "TCP_FASTOPEN")] : []),
  ];
}

function option(level: number, name: number, value: number, description: string): SocketOption {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return { level, name, value: bytes, description, isPrebind: false };
}

function decodeChain(chain: FilterChain, path: string, problems: Problems): FilterChainConfig {
  const provenance = provenanceOf(chain.metadata);
  return {
    name: chain.name,
    match: decodeMatch(chain.filterChainMatch, `${path}.filter_chain_match`, problems),
    tls: decodeDownstreamTls(chain.transportSocket, `${path}.transport_socket`, problems),
    connectTimeoutMs: milliseconds(chain.transportSocketConnectTimeout, 0),
    fingerprint: fingerprint(chain),
    filters: decodeNetworkFilters(chain.filters, provenance.policies, `${path}.filters`, problems),
    provenance,
  };
}

function fingerprint(chain: FilterChain): string {
  return createHash("sha256").update(toBinary(FilterChainSchema, chain)).digest("base64");
}

/** Envoy refuses chains of which nobody could say which one takes a connection. */
function refuseAmbiguity(chains: readonly FilterChainConfig[], problems: Problems): void {
  const ambiguous = ambiguousChains(chains);
  if (ambiguous === null) return;
  const [first, second] = ambiguous.map((chain) => chain.name || `number ${chains.indexOf(chain)}`);
  problems.invalid("filter_chains", `${first} and ${second} match the same connections`);
}

function decodeMatcher(listener: Listener, problems: Problems): ChainMatcher | null {
  if (listener.filterChainMatcher === undefined) return null;
  const names = new Set(listener.filterChains.map((chain) => chain.name));
  if (names.size < listener.filterChains.length) {
    problems.invalid("filter_chains", "need names of their own beside a filter_chain_matcher");
  }
  listener.filterChains.forEach((chain, i) => {
    if (chain.filterChainMatch === undefined) return;
    problems.invalid(`filter_chains[${i}].filter_chain_match`, "must not stand beside a filter_chain_matcher");
  });
  return decodeChainMatcher(listener.filterChainMatcher, names, "filter_chain_matcher", problems);
}

function decodeMatch(match: EnvoyMatch | undefined, path: string, problems: Problems): FilterChainMatch {
  if (match === undefined) return matchesEverything;
  if (match.addressSuffix !== "" || match.suffixLen !== undefined) {
    problems.unsupported(`${path}.address_suffix`, "matching an address suffix");
  }
  const transport = match.transportProtocol;
  if (transport !== "" && transport !== "tls" && transport !== "raw_buffer") {
    problems.unsupported(`${path}.transport_protocol`, `the transport protocol ${transport}`);
  }
  for (const name of match.serverNames) {
    if (name.indexOf("*", 1) !== -1 || (name.startsWith("*") && name !== "*" && !name.startsWith("*."))) {
      problems.invalid(`${path}.server_names`, `"${name}" may have a star only as its first label`);
    }
  }
  return {
    destinationPort: match.destinationPort ?? null,
    destinationRanges: decodeRanges(match.prefixRanges, `${path}.prefix_ranges`, problems),
    // "*" alone is the same as no name.
    serverNames: match.serverNames.includes("*") ? [] : match.serverNames.map((name) => name.toLowerCase()),
    transportProtocol: transport === "tls" || transport === "raw_buffer" ? transport : null,
    applicationProtocols: match.applicationProtocols,
    directSourceRanges: decodeRanges(match.directSourcePrefixRanges, `${path}.direct_source_prefix_ranges`, problems),
    sourceType: sourceTypes[match.sourceType] ?? "any",
    sourceRanges: decodeRanges(match.sourcePrefixRanges, `${path}.source_prefix_ranges`, problems),
    sourcePorts: match.sourcePorts,
  };
}

const sourceTypes: Readonly<Record<number, FilterChainMatch["sourceType"]>> = {
  [SourceType.ANY]: "any",
  [SourceType.SAME_IP_OR_LOOPBACK]: "local",
  [SourceType.EXTERNAL]: "external",
};
