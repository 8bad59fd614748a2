// TcpProxy.TunnelingConfig: bytes travel inside an HTTP request to a proxy, which is told where they are meant to go.

import type { TcpProxy_TunnelingConfig as TunnelingConfig } from "#wire/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.ts";
import { Headers } from "#wire/http/headers.ts";
import { isAuthority } from "#wire/http2/field-validity.ts";
import type { AccessLogEntry } from "../../../config/access-log.ts";
import { decodeHeaderOptions } from "../../../config/parse/header-mutations.ts";
import { BODY_CHUNKED, BODY_TUNNEL, type UpstreamRequest } from "../../../upstream/exchange.ts";
import type { FilterPlace } from "../../filter.ts";

type Format = (entry: AccessLogEntry) => string;

export interface TunnelSettings {
  readonly method: "CONNECT" | "POST";
  /** Empty for CONNECT. */
  readonly path: string;
  /** Of the destination, from what is known of the connection. */
  readonly hostname: Format;
  readonly headers: readonly TunnelHeader[];
}

interface TunnelHeader {
  readonly name: string;
  readonly value: Format;
  /** Takes the place of lines of that name. */
  readonly replaces: boolean;
}

export function parseTunnel(config: TunnelingConfig, at: string, place: FilterPlace): TunnelSettings {
  const { problems, textFormat } = place;
  const path = `${at}.tunneling_config`;
  if (config.hostname === "") problems.invalid(`${path}.hostname`, "is missing");
  if (config.postPath !== "" && !config.usePost) problems.invalid(`${path}.post_path`, "is for use_post");
  if (config.postPath !== "" && !/^\/[\x21-\x7e]*$/.test(config.postPath)) {
    problems.invalid(`${path}.post_path`, `"${config.postPath}" is not a path`);
  }
  for (const [field, isSet] of [
    ["propagate_response_headers", config.propagateResponseHeaders],
    ["propagate_response_trailers", config.propagateResponseTrailers],
  ] as const) {
    if (isSet) problems.leftOut(`${path}.${field}`, "filter state that tells later filters of the proxy's answer");
  }
  const headers = decodeHeaderOptions(config.headersToAdd, `${path}.headers_to_add`, problems);
  for (const { name } of headers) {
    if (name.startsWith(":") || fixed.has(name.toLowerCase())) {
      problems.invalid(`${path}.headers_to_add`, `"${name}" may not be set`);
    }
  }
  return {
    method: config.usePost ? "POST" : "CONNECT",
    path: config.usePost ? config.postPath || "/" : "",
    hostname: textFormat(config.hostname, `${path}.hostname`),
    headers: headers.map(({ name, value, operation }, i) => ({
      name,
      value: textFormat(value, `${path}.headers_to_add[${i}]`),
      replaces: operation === "set",
    })),
  };
}

/** Names that say where the request goes and how it is framed. */
const fixed: ReadonlySet<string> = new Set([
  "host",
  "connection",
  "content-length",
  "keep-alive",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
]);

/** The request for one connection; null when its destination can't be told, as without a server name. */
export function tunnelRequest(
  settings: TunnelSettings,
  entry: AccessLogEntry,
  isSecured: boolean,
): UpstreamRequest | null {
  const { method, path } = settings;
  const authority = settings.hostname(entry);
  if (!isAuthority(authority) || authority === "" || authority.startsWith(":")) return null;
  const headers = new Headers();
  headers.add("host", authority);
  for (const { name, value, replaces } of settings.headers) {
    // Values come from clients in part: a line break in one would add header lines.
    const text = value(entry).replaceAll(/[\r\n\0]/g, "");
    if (replaces) headers.set(name, text);
    else headers.add(name, text);
  }
  return {
    method,
    scheme: method === "CONNECT" ? "" : isSecured ? "https" : "http",
    authority,
    path,
    headers,
    upgrade: "",
    requestFraming: method === "CONNECT" ? BODY_TUNNEL : BODY_CHUNKED,
  };
}
