// HOT: per request. Who the client is: its address behind trusted proxies, its certificate, its request id, and what of
// the headers that only proxies may set is taken from those who are not trusted to set them. As Envoy's
// ConnectionManagerUtility::mutateRequestHeaders is documented (x-forwarded-for, x-envoy-internal, x-request-id).
import { randomUUID } from "node:crypto";
import {
  FIRST_ENVOY_CONTROL,
  USER_AGENT,
  X_ENVOY_EXTERNAL_ADDRESS,
  X_ENVOY_INTERNAL,
  X_ENVOY_ORIGINAL_PATH,
  X_FORWARDED_CLIENT_CERT,
  X_FORWARDED_FOR,
  X_FORWARDED_PROTO,
  X_REQUEST_ID,
} from "#wire/http/header-names.ts";
import type { ClientAddressConfig, HttpConnectionManagerConfig } from "../config/http.ts";
import { clientAtEdge, clientInside } from "../decide/client-address.ts";
import { clientCertificateElement } from "./client-certificate-header.ts";
import { type LocalReply, undetectedClient } from "./local-replies.ts";
import type { Stream } from "./stream.ts";

/** Sets what the stream knows of its client, and the headers that tell the upstream. A reply refuses the request. */
export function setClient(stream: Stream, config: HttpConnectionManagerConfig): LocalReply | null {
  const { client } = config;
  const headers = stream.headers;
  const { connection } = stream;
  const scheme = connection.isTls ? "https" : "http";
  let isSingle: boolean;
  if (client.useRemoteAddress) {
    const before = headers.getId(X_FORWARDED_FOR);
    isSingle = before === undefined;
    stream.remoteIp = clientAtEdge(before, connection.sourceIp, client.xffTrustedHops);
    if (!client.skipXffAppend) {
      const own = written(connection.sourceIp, client);
      headers.setId(X_FORWARDED_FOR, before === undefined ? own : `${before},${own}`);
    }
    if (client.xffTrustedHops === 0 || !headers.hasId(X_FORWARDED_PROTO)) headers.setId(X_FORWARDED_PROTO, scheme);
    if (client.appendXForwardedPort && (client.xffTrustedHops === 0 || !headers.has(forwardedPort))) {
      headers.set(forwardedPort, String(connection.destinationPort));
    }
  } else {
    const detected = clientInside(headers, connection.sourceIp, client);
    if (typeof detected === "number") return undetectedClient(detected);
    stream.remoteIp = detected.ip;
    isSingle = detected.isTrusted;
    if (!headers.hasId(X_FORWARDED_PROTO)) headers.setId(X_FORWARDED_PROTO, scheme);
    if (client.appendXForwardedPort && !headers.has(forwardedPort)) {
      headers.set(forwardedPort, String(connection.destinationPort));
    }
  }
  if (config.schemeOverwrite !== null) headers.setId(X_FORWARDED_PROTO, config.schemeOverwrite);
  stream.scheme = schemeOf(headers.getId(X_FORWARDED_PROTO), scheme);
  const isInternal = isSingle && client.internalRanges !== null && client.internalRanges.contains(stream.remoteIp);
  const isEdge = client.useRemoteAddress && !isInternal;
  setTrust(stream, client, isInternal, isEdge);
  if (config.addUserAgent) setUserAgent(stream);
  if (config.via !== "") headers.set("via", appended(headers.get("via"), config.via));
  setClientCertificate(stream, config);
  const renews = isEdge && !config.preserveExternalRequestId;
  if (config.generateRequestId && (renews || !headers.hasId(X_REQUEST_ID))) headers.setId(X_REQUEST_ID, randomUUID());
  return null;
}

const forwardedPort = "x-forwarded-port";

/** A scheme that is none in any case says nothing (CVE-2023-35944): the connection does. */
function schemeOf(forwardedProto: string | undefined, otherwise: string): string {
  const lower = forwardedProto?.toLowerCase();
  return lower === "http" || lower === "https" ? lower : otherwise;
}

/** An edge proxy does not believe its clients; an internal client may steer the router. */
function setTrust(stream: Stream, client: ClientAddressConfig, isInternal: boolean, isEdge: boolean): void {
  const headers = stream.headers;
  headers.removeId(X_ENVOY_INTERNAL);
  if (isInternal) headers.setId(X_ENVOY_INTERNAL, "true");
  if (!isEdge) return;
  headers.removeId(X_ENVOY_ORIGINAL_PATH);
  headers.removeFromId(FIRST_ENVOY_CONTROL);
  headers.setId(X_ENVOY_EXTERNAL_ADDRESS, written(stream.remoteIp, client));
}

function written(ip: string, client: ClientAddressConfig): string {
  return client.mapsIpv4 && !ip.includes(":") ? `::ffff:${ip}` : ip;
}

/** Several values in one line. */
export function appended(before: string | undefined, value: string): string {
  return before === undefined ? value : `${before}, ${value}`;
}

function setUserAgent(stream: Stream): void {
  const { cluster, id } = stream.manager.environment.node;
  const headers = stream.headers;
  headers.set("x-envoy-downstream-service-cluster", cluster);
  if ((headers.getId(USER_AGENT) ?? "") === "") headers.setId(USER_AGENT, cluster);
  if (id !== "") headers.set("x-envoy-downstream-service-node", id);
}

function setClientCertificate(stream: Stream, config: HttpConnectionManagerConfig): void {
  const headers = stream.headers;
  const mode = config.forwardClientCert;
  if (mode === "always_forward_only") return;
  const connection = stream.connection;
  if (mode === "sanitize" || connection.peer === null) {
    headers.removeId(X_FORWARDED_CLIENT_CERT);
    return;
  }
  if (mode === "forward_only") return;
  let element = stream.codecConnection.clientCertificateElement;
  if (element === undefined) {
    element = clientCertificateElement(connection, config.clientCertDetails) ?? "";
    stream.codecConnection.clientCertificateElement = element;
  }
  const before = mode === "append_forward" ? headers.getId(X_FORWARDED_CLIENT_CERT) : undefined;
  headers.setId(X_FORWARDED_CLIENT_CERT, before === undefined ? element : `${before},${element}`);
}
