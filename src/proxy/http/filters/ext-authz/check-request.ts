// envoy.service.auth.v3.CheckRequest: a request and its connection, as a service that speaks gRPC is asked about them.
import { create, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { MetadataSchema } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import type {
  AttributeContext_HttpRequestSchema,
  AttributeContext_PeerSchema,
} from "#wire/gen/envoy/service/auth/v3/attribute_context_pb.ts";
import { type CheckRequest, CheckRequestSchema } from "#wire/gen/envoy/service/auth/v3/external_auth_pb.ts";
import type { ConnectionInfo } from "../../../transport/connection-info.ts";
import type { Stream } from "../../stream.ts";
import { verifiedPeer } from "../../subject.ts";
import type { CheckBody } from "./http-check.ts";
import type { ExtAuthzSettings } from "./settings.ts";

export function checkRequest(
  stream: Stream,
  settings: ExtAuthzSettings,
  contextExtensions: Readonly<Record<string, string>>,
  body: CheckBody | null,
): CheckRequest {
  const { connection } = stream;
  return create(CheckRequestSchema, {
    attributes: {
      source: sourcePeer(connection, settings.sendsCertificate, {
        service: stream.headers.get("x-envoy-downstream-service-cluster") ?? "",
      }),
      destination: destinationPeer(connection),
      request: { time: timestampFromMs(Math.floor(stream.startTimeMs)), http: httpRequest(stream, settings, body) },
      contextExtensions: { ...contextExtensions },
      metadataContext: metadata(settings.metadataNamespaces, (name) => stream.metadata(name)),
      ...(settings.routeMetadataNamespaces.length > 0 && {
        routeMetadataContext: metadata(
          settings.routeMetadataNamespaces,
          (name) => stream.decision?.route.metadata[name],
        ),
      }),
      ...(settings.sendsServerName && connection.serverName !== "" && { tlsSession: { sni: connection.serverName } }),
    },
  });
}

type Peer = MessageInitShape<typeof AttributeContext_PeerSchema>;

export function sourcePeer(
  connection: ConnectionInfo,
  sendsCertificate: boolean,
  more: { readonly service?: string } = {},
): Peer {
  const peer = verifiedPeer(connection);
  return {
    address: socketAddress(connection.sourceIp, connection.sourcePort),
    principal: peer === null ? "" : (peer.uriSans[0] ?? peer.dnsSans[0] ?? peer.subject),
    ...(sendsCertificate && { certificate: connection.peer?.pem() ?? "" }),
    ...more,
  };
}

export function destinationPeer(connection: ConnectionInfo): Peer {
  return {
    address: socketAddress(connection.destinationIp, connection.destinationPort),
    principal: connection.localUriSan ?? "",
  };
}

function socketAddress(address: string, port: number): NonNullable<Peer["address"]> {
  return {
    address: { case: "socketAddress", value: { address, portSpecifier: { case: "portValue", value: port } } },
  };
}

function httpRequest(
  stream: Stream,
  settings: ExtAuthzSettings,
  body: CheckBody | null,
): MessageInitShape<typeof AttributeContext_HttpRequestSchema> {
  const lines = sentLines(stream, settings, body);
  const length = stream.headers.get("content-length");
  return {
    id: stream.headers.get("x-request-id") ?? "",
    method: stream.method,
    path: stream.path,
    host: stream.authority,
    scheme: stream.scheme,
    protocol: stream.protocol,
    size: length !== undefined && /^\d{1,15}$/.test(length) ? BigInt(length) : -1n,
    ...(settings.sendsRawHeaders
      ? { headerMap: { headers: lines.map(([key, value]) => ({ key, rawValue: Buffer.from(value, "latin1") })) } }
      : { headers: joinedHeaders(lines) }),
    ...(body !== null &&
      (settings.body?.asBytes === true ? { rawBody: body.bytes } : { body: body.bytes.toString("utf8") })),
  };
}

/** Pseudo headers and all lines of the head, as far as the service may see them. */
function sentLines(
  stream: Stream,
  { sentHeaders, withheldHeaders }: ExtAuthzSettings,
  body: CheckBody | null,
): [string, string][] {
  const lines: [string, string][] = [];
  const add = (name: string, value: string): void => {
    if (sentHeaders?.(name) === false || withheldHeaders?.(name) === true) return;
    lines.push([name, value]);
  };
  for (const name of [":authority", ":method", ":path", ":scheme"]) {
    const value = stream.header(name);
    if (value !== undefined && value !== "") add(name, value);
  }
  stream.headers.forEach((name, value) => {
    if (name !== "host" && name !== "x-envoy-auth-partial-body") add(name, value);
  });
  if (body !== null) lines.push(["x-envoy-auth-partial-body", String(body.isPartial)]);
  return lines;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function joinedHeaders(lines: readonly (readonly [string, string])[]): Record<string, string> {
  const headers: Record<string, string> = Object.create(null);
  for (const [name, value] of lines) {
    const text = readable(value);
    headers[name] = name in headers ? `${headers[name]},${text}` : text;
  }
  return headers;
}

/** Bytes that are no UTF-8 are replaced, as Envoy does it. */
function readable(value: string): string {
  if (/^[\x20-\x7e]*$/.test(value)) return value;
  const bytes = Buffer.from(value, "latin1");
  try {
    return utf8.decode(bytes);
  } catch {
    return bytes.toString("utf8").replaceAll("\ufffd", "!");
  }
}

function metadata(
  namespaces: readonly string[],
  read: (namespace: string) => unknown,
): MessageInitShape<typeof MetadataSchema> {
  const filterMetadata: Record<string, JsonObject> = {};
  for (const namespace of namespaces) {
    const values = read(namespace);
    if (typeof values === "object" && values !== null) {
      // What filters wrote is JSON; the copy has prototypes and no undefined.
      filterMetadata[namespace] = JSON.parse(JSON.stringify(values)) as JsonObject;
    }
  }
  return { filterMetadata };
}
