// `x-forwarded-client-cert`: what the peer's certificate says, for the application. Built once per connection, because
// nothing in it changes between requests. Syntax as Envoy's: `By=...;Hash=...;Subject="...";URI=...;DNS=...`.
import type { HttpConnectionManagerConfig } from "../config/http.ts";
import type { ConnectionInfo } from "../transport/connection-info.ts";

export function clientCertificateElement(
  connection: ConnectionInfo,
  details: HttpConnectionManagerConfig["clientCertDetails"],
): string | null {
  const { peer } = connection;
  if (peer === null) return null;
  const parts: string[] = [];
  if (connection.localUriSan !== undefined) parts.push(`By=${connection.localUriSan}`);
  parts.push(`Hash=${peer.hash}`);
  if (details.cert) parts.push(`Cert="${peer.pem()}"`);
  if (details.subject) parts.push(`Subject="${peer.subject.replaceAll('"', '\\"')}"`);
  if (details.uri) {
    if (peer.uriSans.length === 0) parts.push("URI=");
    for (const uri of peer.uriSans) parts.push(`URI=${unambiguous(uri)}`);
  }
  if (details.dns) for (const name of peer.dnsSans) parts.push(`DNS=${unambiguous(name)}`);
  return parts.join(";");
}

/** A name must not look like the next pair or the next element. */
function unambiguous(name: string): string {
  return name.replaceAll(";", "%3B").replaceAll(",", "%2C");
}
