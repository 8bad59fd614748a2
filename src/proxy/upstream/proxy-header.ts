// The PROXY header that a connection to an endpoint begins with: whom it is made for.
import { encodeProxyV1, encodeProxyV2, proxyAddresses } from "#wire/proxy-protocol/encode.ts";
import type { UpstreamProxyProtocol } from "../config/cluster.ts";
import type { ConnectionInfo } from "../transport/connection-info.ts";

/** Null: the connection is our own, as for a health check. */
export function proxyHeaderFor({ version, passesTlv }: UpstreamProxyProtocol, client: ConnectionInfo | null): Buffer {
  const addresses =
    client === null
      ? null
      : proxyAddresses(
          { address: client.sourceIp, port: client.sourcePort },
          { address: client.destinationIp, port: client.destinationPort },
        );
  if (version === 1) return encodeProxyV1(addresses);
  const tlvs = passesTlv === null || client === null ? [] : client.proxyTlvs.filter(({ type }) => passesTlv(type));
  return encodeProxyV2(addresses, tlvs, false);
}
