// Envoy's attributes of a stream, for `proxy_get_property`. Those that have no value yet, as of the response before there
// is one, are not found.
// List: https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/advanced/attributes
import { GRPC_STATUS, USER_AGENT, X_REQUEST_ID } from "#wire/http/header-names.ts";
import type { Headers } from "#wire/http/headers.ts";
import { pathWithoutQuery } from "../../../decide/route.ts";
import { connectionProperty, listenerProperty } from "../../../wasm/connection-properties.ts";
import { type PropertyValue, propertyFromJson, propertyMap } from "../../../wasm/properties.ts";
import { responseFlagBits } from "../../response-flags.ts";
import type { Stream } from "../../stream.ts";

/** `hasHeads` is false when the stream is over and its heads belong to another one. */
export function streamAttribute(stream: Stream, name: string, hasHeads: boolean): PropertyValue | undefined {
  switch (name) {
    case "request":
      return propertyMap(null, (part) => (!hasHeads && ofHead.has(part) ? undefined : requestAttribute(stream, part)));
    case "response":
      if (stream.responseHeaders === null) return undefined;
      return propertyMap(null, (part) => (!hasHeads && ofHead.has(part) ? undefined : responseAttribute(stream, part)));
    case "upstream":
      return propertyMap(null, (part) => upstreamAttribute(stream, part));
    case "metadata":
      return metadataAttribute(stream);
    case "xds":
      return propertyMap(null, (part) => routingAttribute(stream, part) ?? listenerProperty(stream.connection, part));
    default:
      return routingAttribute(stream, name) ?? connectionProperty(stream.connection, name);
  }
}

const ofHead: ReadonlySet<string> = new Set([
  "headers",
  "trailers",
  "referer",
  "useragent",
  "id",
  "total_size",
  "grpc_status",
]);

function requestAttribute(stream: Stream, name: string): PropertyValue | undefined {
  const { headers, path } = stream;
  switch (name) {
    case "path":
      return path;
    case "url_path":
      return pathWithoutQuery(path);
    case "query": {
      const at = path.indexOf("?");
      return at < 0 ? "" : path.slice(at + 1).replace(/#.*$/s, "");
    }
    case "host":
      return stream.authority;
    case "scheme":
      return stream.scheme;
    case "method":
      return stream.method;
    case "protocol":
      return stream.protocol;
    case "headers":
      return headerAttribute(headers, (header) => stream.header(header));
    case "referer":
      return headers.get("referer");
    case "useragent":
      return headers.getId(USER_AGENT);
    case "id":
      return headers.getId(X_REQUEST_ID);
    case "time":
      return BigInt(Math.round(stream.startTimeMs * 1000)) * 1000n;
    case "duration":
      return stream.isDone ? nanoseconds(stream.durationMs) : undefined;
    case "size":
      return BigInt(stream.requestBytes);
    case "total_size":
      return BigInt(stream.requestBytes + headers.byteLength);
    default:
      return undefined;
  }
}

function responseAttribute(stream: Stream, name: string): PropertyValue | undefined {
  const headers = stream.responseHeaders;
  switch (name) {
    case "code":
      return stream.responseStatus === 0 ? undefined : BigInt(stream.responseStatus);
    case "code_details":
      return stream.responseDetails || undefined;
    case "flags":
      return BigInt(responseFlagBits(stream.responseFlags));
    case "headers":
      return headers === null ? undefined : headerAttribute(headers, (header) => headers.get(header));
    case "trailers": {
      const trailers = stream.responseTrailers;
      return trailers === null ? undefined : headerAttribute(trailers, (header) => trailers.get(header));
    }
    case "grpc_status": {
      const status = stream.responseTrailers?.getId(GRPC_STATUS) ?? headers?.getId(GRPC_STATUS);
      return status !== undefined && /^\d+$/.test(status) ? BigInt(status) : undefined;
    }
    case "size":
      return BigInt(stream.responseBytes);
    case "total_size":
      return BigInt(stream.responseBytes + (headers?.byteLength ?? 0) + (stream.responseTrailers?.byteLength ?? 0));
    default:
      return undefined;
  }
}

function upstreamAttribute(stream: Stream, name: string): PropertyValue | undefined {
  const endpoint = stream.endpointConfig;
  switch (name) {
    case "address":
      return endpoint?.key;
    case "port":
      return endpoint === null ? undefined : BigInt(endpoint.port);
    case "local_address":
      return stream.upstreamLocalAddress;
    case "uri_san_peer_certificate":
      return stream.upstreamPeerUriSan;
    case "uri_san_local_certificate":
      return stream.upstreamLocalUriSan;
    case "transport_failure_reason":
      return stream.upstreamFailureReason;
    case "request_attempt_count":
      return BigInt(stream.attemptCount);
    default:
      return undefined;
  }
}

/** What the configuration says of where the request goes; under `xds`, and some of it at the top. */
function routingAttribute(stream: Stream, name: string): PropertyValue | undefined {
  switch (name) {
    case "cluster_name":
      return stream.clusterConfig?.name ?? stream.decision?.cluster?.name;
    case "route_name":
      return stream.decision?.route.name;
    case "virtual_host_name":
      return stream.decision?.virtualHost.name;
    default:
      return undefined;
  }
}

function headerAttribute(headers: Headers, get: (name: string) => string | undefined): PropertyValue {
  const names = new Set<string>();
  headers.forEach((name) => void names.add(name));
  return propertyMap([...names], (name) => {
    const value = get(name.toLowerCase());
    return value === undefined ? undefined : Buffer.from(value, "latin1");
  });
}

/** `metadata.filter_metadata.<namespace>.<key>`: what filters said of the request. */
function metadataAttribute(stream: Stream): PropertyValue {
  const namespaces = propertyMap(null, (namespace) => propertyFromJson(stream.metadata(namespace)));
  return propertyMap(null, (part) => (part === "filter_metadata" ? namespaces : undefined));
}

function nanoseconds(milliseconds: number): bigint {
  return BigInt(Math.round(milliseconds * 1e6));
}
