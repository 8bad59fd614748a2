// Listener filters: original destination, TLS and HTTP inspectors, and the ports on which an inspector stays off.
// An inspector that waits for bytes the client never sends first would stall server-first protocols.
import { create, type DescMessage } from "@bufbuild/protobuf";
import {
  type FilterChain,
  type ListenerFilter,
  type ListenerFilterChainMatchPredicate,
  ListenerFilterChainMatchPredicateSchema,
  ListenerFilterSchema,
} from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import { HttpInspectorSchema } from "#wire/gen/envoy/extensions/filters/listener/http_inspector/v3/http_inspector_pb.ts";
import { OriginalDstSchema } from "#wire/gen/envoy/extensions/filters/listener/original_dst/v3/original_dst_pb.ts";
import { ProxyProtocolSchema } from "#wire/gen/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol_pb.ts";
import { TlsInspectorSchema } from "#wire/gen/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.ts";
import { pack } from "../envoy-values.ts";

export function originalDestination(): ListenerFilter {
  return listenerFilter("envoy.filters.listener.original_dst", OriginalDstSchema);
}

/** A connection without a PROXY header is refused. */
export function proxyProtocol(): ListenerFilter {
  return listenerFilter("envoy.filters.listener.proxy_protocol", ProxyProtocolSchema);
}

export function tlsInspector(disabled?: ListenerFilterChainMatchPredicate): ListenerFilter {
  return listenerFilter("envoy.filters.listener.tls_inspector", TlsInspectorSchema, disabled);
}

export function httpInspector(disabled?: ListenerFilterChainMatchPredicate): ListenerFilter {
  return listenerFilter("envoy.filters.listener.http_inspector", HttpInspectorSchema, disabled);
}

/** Adds the inspectors that the chains' matches need, each switched off on ports where no chain needs it. */
export function inspectorsFor(chains: readonly FilterChain[]): ListenerFilter[] {
  const needs = new Map<number, { tls: boolean; http: boolean }>();
  for (const { filterChainMatch: match } of chains) {
    const port = match?.destinationPort ?? 0;
    const before = needs.get(port) ?? { tls: false, http: false };
    needs.set(port, {
      tls: before.tls || match?.transportProtocol === "tls",
      http: before.http || (match?.applicationProtocols ?? []).some((alpn) => alpn === "http/1.1" || alpn === "h2c"),
    });
  }
  const ports = [...needs.keys()].sort((a, b) => a - b);
  const filters: ListenerFilter[] = [];
  if (ports.some((port) => needs.get(port)?.tls)) {
    filters.push(tlsInspector(disabledPredicate(ports, (port) => needs.get(port)?.tls ?? false)));
  }
  // After the TLS inspector: on TLS the HTTP inspector does not look.
  if (ports.some((port) => needs.get(port)?.http)) {
    filters.push(httpInspector(disabledPredicate(ports, (port) => needs.get(port)?.http ?? false)));
  }
  return filters;
}

/** Port 0 stands for chains that match every port: when those need the inspector, other ports opt out, else they opt in. */
function disabledPredicate(
  ports: readonly number[],
  isNeeded: (port: number) => boolean,
): ListenerFilterChainMatchPredicate | undefined {
  const named = ports.filter((port) => port !== 0);
  if (isNeeded(0) || !ports.includes(0)) return anyPort(named.filter((port) => !isNeeded(port)));
  const enabled = anyPort(named.filter(isNeeded));
  return enabled && create(ListenerFilterChainMatchPredicateSchema, { rule: { case: "notMatch", value: enabled } });
}

function anyPort(ports: readonly number[]): ListenerFilterChainMatchPredicate | undefined {
  const rules = ports.map((port) =>
    create(ListenerFilterChainMatchPredicateSchema, {
      rule: { case: "destinationPortRange", value: { start: port, end: port + 1 } },
    }),
  );
  if (rules.length < 2) return rules[0];
  return create(ListenerFilterChainMatchPredicateSchema, { rule: { case: "orMatch", value: { rules } } });
}

function listenerFilter(
  name: string,
  schema: DescMessage,
  disabled?: ListenerFilterChainMatchPredicate,
): ListenerFilter {
  return create(ListenerFilterSchema, {
    name,
    configType: { case: "typedConfig", value: pack(schema, {}) },
    ...(disabled && { filterDisabled: disabled }),
  });
}
