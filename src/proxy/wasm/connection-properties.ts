// Envoy's attributes of a connection, the same for HTTP and network filters.
import type { ConnectionInfo } from "../transport/connection-info.ts";
import { type PropertyValue, propertyMap } from "./properties.ts";

export function connectionProperty(connection: ConnectionInfo, name: string): PropertyValue | undefined {
  switch (name) {
    case "connection":
      return propertyMap(null, (part) => connectionPart(connection, part));
    case "connection_id":
      return BigInt(connection.id);
    case "source":
      return address(connection.sourceAddress, connection.sourcePort);
    case "destination":
      return address(connection.destinationAddress, connection.destinationPort);
    case "xds":
      return propertyMap(null, (part) => listenerProperty(connection, part));
    default:
      return listenerProperty(connection, name);
  }
}

/** What accepted the connection; under `xds`, and at the top. */
export function listenerProperty(connection: ConnectionInfo, name: string): PropertyValue | undefined {
  switch (name) {
    case "listener_direction":
      return BigInt(connection.direction);
    case "listener_name":
      return connection.listenerName;
    case "filter_chain_name":
      return connection.filterChainName;
    default:
      return undefined;
  }
}

function connectionPart(connection: ConnectionInfo, name: string): PropertyValue | undefined {
  const { peer } = connection;
  switch (name) {
    case "id":
      return BigInt(connection.id);
    case "mtls":
      return connection.isTls && peer !== null;
    case "requested_server_name":
      return connection.serverName;
    case "tls_version":
      return connection.isTls ? connection.tlsVersion : undefined;
    case "subject_peer_certificate":
      return peer?.subject;
    case "dns_san_peer_certificate":
      return peer?.dnsSans[0];
    case "uri_san_peer_certificate":
      return peer?.uriSan;
    case "uri_san_local_certificate":
      return connection.localUriSan;
    case "sha256_peer_certificate_digest":
      return peer?.hash;
    case "termination_details":
      return connection.terminationDetails || undefined;
    default:
      return undefined;
  }
}

function address(text: string, port: number): PropertyValue {
  return propertyMap(null, (part) => {
    if (part === "address") return text;
    return part === "port" ? BigInt(port) : undefined;
  });
}
