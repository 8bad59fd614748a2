// Which extensions of a PROXY header are passed on: from the client's header, and into the one for an endpoint.
import {
  ProxyProtocolPassThroughTLVs_PassTLVsMatchType as MatchType,
  type ProxyProtocolPassThroughTLVs,
} from "#wire/gen/envoy/config/core/v3/proxy_protocol_pb.ts";

/** Null: none is. */
export function passedTlvs(wanted: ProxyProtocolPassThroughTLVs | undefined): ((type: number) => boolean) | null {
  if (wanted === undefined) return null;
  if (wanted.matchType === MatchType.INCLUDE_ALL) return () => true;
  const types = new Set(wanted.tlvType);
  return (type) => types.has(type);
}
