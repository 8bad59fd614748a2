// Listener filters by type URL, with the ports on which a filter is off. They act in a fixed order: original destination,
// PROXY header, TLS inspector, HTTP inspector; a configuration that wants another one is refused.
import type {
  ListenerFilter as EnvoyListenerFilter,
  ListenerFilterChainMatchPredicate,
} from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import {
  type ProxyProtocol,
  ProxyProtocolSchema,
} from "#wire/gen/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol_pb.ts";
import type { ListenerConfig, ListenerFilter, ProxyProtocolConfig } from "./listener.ts";
import { passedTlvs } from "./parse/proxy-protocol.ts";
import { typeName, unpack } from "./parse/values.ts";
import type { Problems } from "./problems.ts";

type ListenerFilters = Pick<ListenerConfig, "originalDst" | "tlsInspector" | "httpInspector" | "proxyProtocol">;

const filterPrefix = "envoy.extensions.filters.listener.";

export function decodeListenerFilters(filters: readonly EnvoyListenerFilter[], problems: Problems): ListenerFilters {
  let originalDst = false;
  let proxyProtocol: ProxyProtocolConfig | null = null;
  let tlsInspector: ListenerFilter | null = null;
  let httpInspector: ListenerFilter | null = null;
  filters.forEach((filter, i) => {
    const path = `listener_filters[${i}]`;
    const any = filter.configType.case === "typedConfig" ? filter.configType.value : undefined;
    const disabledForPort = decodePortPredicate(filter.filterDisabled, `${path}.filter_disabled`, problems);
    switch (typeName(any)) {
      case `${filterPrefix}original_dst.v3.OriginalDst`:
        originalDst = true;
        break;
      case `${filterPrefix}tls_inspector.v3.TlsInspector`:
        tlsInspector = { disabledForPort };
        break;
      case `${filterPrefix}http_inspector.v3.HttpInspector`:
        httpInspector = { disabledForPort };
        break;
      case ProxyProtocolSchema.typeName:
        if (tlsInspector !== null || httpInspector !== null) {
          problems.invalid(path, "proxy_protocol must stand before the inspectors, which would see the PROXY header");
        }
        if (filter.filterDisabled !== undefined) {
          problems.unsupported(`${path}.filter_disabled`, "a PROXY header on some ports only");
        }
        proxyProtocol =
          any === undefined ? null : decodeProxyProtocol(unpack(any, ProxyProtocolSchema, path, problems));
        break;
      case `${filterPrefix}original_src.v3.OriginalSrc`:
        problems.unsupported(path, "the client's address as the source of upstream connections (original_src)");
        break;
      default:
        problems.unsupported(path, `the listener filter ${filter.name}`);
    }
  });
  return { originalDst, tlsInspector, httpInspector, proxyProtocol };
}

/** The namespace of metadata where a rule names none. */
const ownNamespace = "envoy.filters.listener.proxy_protocol";

function decodeProxyProtocol(message: ProxyProtocol | null): ProxyProtocolConfig | null {
  if (message === null) return null;
  return {
    allowsAbsent: message.allowRequestsWithoutProxyProtocol,
    // V1 is 0 in the message.
    disallowedVersions: new Set(message.disallowedVersions.map((version) => version + 1)),
    rules: message.rules.flatMap(({ tlvType, onTlvPresent }) =>
      onTlvPresent === undefined
        ? []
        : [{ tlvType, namespace: onTlvPresent.metadataNamespace || ownNamespace, key: onTlvPresent.key }],
    ),
    passesTlv: passedTlvs(message.passThroughTlvs),
    statPrefix: message.statPrefix === "" ? "proxy_proto." : `proxy_proto.${message.statPrefix}.`,
  };
}

function decodePortPredicate(
  predicate: ListenerFilterChainMatchPredicate | undefined,
  path: string,
  problems: Problems,
): (port: number) => boolean {
  const rule = predicate?.rule;
  switch (rule?.case) {
    case "anyMatch":
      return () => rule.value;
    case "destinationPortRange": {
      const { start, end } = rule.value;
      return (port) => port >= start && port < end;
    }
    case "notMatch": {
      const inner = decodePortPredicate(rule.value, `${path}.not_match`, problems);
      return (port) => !inner(port);
    }
    case "orMatch":
    case "andMatch": {
      const inner = rule.value.rules.map((it, i) => decodePortPredicate(it, `${path}.rules[${i}]`, problems));
      return rule.case === "orMatch"
        ? (port) => inner.some((test) => test(port))
        : (port) => inner.every((test) => test(port));
    }
    case undefined:
      if (predicate !== undefined) problems.invalid(path, "names no rule");
      return () => false;
  }
}
