// Transport sockets: raw_buffer, TLS on both sides, and a PROXY header before either. Certificates and roots are named
// (SDS: the names lead to the secret store) or stand in the configuration itself.
import { createHash, X509Certificate } from "node:crypto";
import type { TransportSocket } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import { ProxyProtocolConfig_Version as ProxyVersion } from "#wire/gen/envoy/config/core/v3/proxy_protocol_pb.ts";
import { ProxyProtocolUpstreamTransportSchema } from "#wire/gen/envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol_pb.ts";
import { RawBufferSchema } from "#wire/gen/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer_pb.ts";
import type { TlsCertificate } from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.ts";
import {
  type CommonTlsContext,
  type DownstreamTlsContext,
  DownstreamTlsContextSchema,
  DownstreamTlsContext_OcspStaplePolicy as OcspPolicy,
  type UpstreamTlsContext,
  UpstreamTlsContextSchema,
} from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts";
import type { TransportSocketMatch } from "./cluster.ts";
import { decodePeerRequirements, namesOverAds } from "./parse/peer-requirements.ts";
import { passedTlvs } from "./parse/proxy-protocol.ts";
import { decodeTlsParameters } from "./parse/tls-parameters.ts";
import { inlineBytes, inlineText, milliseconds, typeName, unpack } from "./parse/values.ts";
import type { Problems } from "./problems.ts";
import { asksForCertificate, type DownstreamTlsConfig, type InlineCertificate, type UpstreamTlsConfig } from "./tls.ts";

/** Null is plaintext. */
export function decodeDownstreamTls(
  socket: TransportSocket | undefined,
  path: string,
  problems: Problems,
): DownstreamTlsConfig | null {
  if (socket === undefined) return null;
  const any = socket.configType.value;
  const type = typeName(any);
  if (type === RawBufferSchema.typeName) return null;
  if (any === undefined || type !== DownstreamTlsContextSchema.typeName) {
    problems.unsupported(path, `the transport socket ${socket.name} (${type})`);
    return null;
  }
  const context = unpack(any, DownstreamTlsContextSchema, path, problems);
  return context === null ? null : decodeDownstream(context, path, problems);
}

function decodeDownstream(context: DownstreamTlsContext, path: string, problems: Problems): DownstreamTlsConfig {
  const common = context.commonTlsContext;
  const certificates = decodeCertificates(common, path, problems);
  if (certificates.names.length + certificates.inline.length === 0) problems.invalid(path, "names no certificate");
  const peer = decodePeerRequirements(common, path, problems);
  const requireClientCertificate = context.requireClientCertificate ?? false;
  if (requireClientCertificate && !asksForCertificate(peer)) {
    problems.invalid(path, "requires a client certificate and names no roots to verify it with");
  }
  if (context.ocspStaplePolicy === OcspPolicy.MUST_STAPLE)
    problems.unsupported(`${path}.ocsp_staple_policy`, "stapling");
  return {
    ...decodeTlsParameters(common?.tlsParams, "TLSv1.3", `${path}.common_tls_context.tls_params`, problems),
    ...peer,
    secretsOverAds: [...certificates.overAds, ...peer.secretsOverAds],
    alpnProtocols: common?.alpnProtocols ?? [],
    certificateNames: certificates.names,
    inlineCertificates: certificates.inline,
    requireClientCertificate,
    requireServerName: context.requireSni ?? false,
    ...decodeTickets(context, path, problems),
    sessionTimeoutSeconds: Math.floor(milliseconds(context.sessionTimeout, 0) / 1000),
  };
}

function decodeTickets(
  context: DownstreamTlsContext,
  path: string,
  problems: Problems,
): Pick<DownstreamTlsConfig, "issuesTickets" | "ticketKeys"> {
  const type = context.sessionTicketKeysType;
  if (type.case === "disableStatelessSessionResumption") return { issuesTickets: !type.value, ticketKeys: null };
  if (type.case === "sessionTicketKeysSdsSecretConfig") {
    problems.leftOut(`${path}.session_ticket_keys_sds_secret_config`, "ticket keys named by SDS");
  }
  if (type.case !== "sessionTicketKeys") return { issuesTickets: true, ticketKeys: null };
  const where = `${path}.session_ticket_keys.keys`;
  const [first, ...older] = type.value.keys.map((key) => inlineBytes(key));
  if (older.length > 0) problems.leftOut(where, "opening of tickets with older keys");
  if (first === undefined) problems.unsupported(where, "a ticket key that is not given inline");
  else if (first.length !== 80) problems.invalid(where, "a key is not 80 bytes long");
  // Envoy's 80 bytes are for its own seal; ours takes 48, made of all of them.
  return {
    issuesTickets: true,
    ticketKeys: createHash("sha384")
      .update(first ?? "")
      .digest(),
  };
}

/** What connections to endpoints begin with: a PROXY header or none, then TLS or plaintext. */
export function decodeUpstreamTransport(
  socket: TransportSocket | undefined,
  path: string,
  problems: Problems,
): Pick<TransportSocketMatch, "tls" | "proxyProtocol"> {
  const any = socket?.configType.value;
  if (any === undefined || typeName(any) !== ProxyProtocolUpstreamTransportSchema.typeName) {
    return { tls: decodeUpstreamTls(socket, path, problems), proxyProtocol: null };
  }
  const wrapper = unpack(any, ProxyProtocolUpstreamTransportSchema, path, problems);
  if (wrapper?.transportSocket === undefined) problems.invalid(`${path}.transport_socket`, "is missing");
  return {
    tls: decodeUpstreamTls(wrapper?.transportSocket, `${path}.transport_socket`, problems),
    proxyProtocol: {
      version: wrapper?.config?.version === ProxyVersion.V2 ? 2 : 1,
      passesTlv: passedTlvs(wrapper?.config?.passThroughTlvs),
    },
  };
}

/** Null is plaintext. */
function decodeUpstreamTls(
  socket: TransportSocket | undefined,
  path: string,
  problems: Problems,
): UpstreamTlsConfig | null {
  if (socket === undefined) return null;
  const any = socket.configType.value;
  const type = typeName(any);
  if (type === RawBufferSchema.typeName) return null;
  if (any === undefined || type !== UpstreamTlsContextSchema.typeName) {
    problems.unsupported(path, `the transport socket ${socket.name} (${type})`);
    return null;
  }
  const context = unpack(any, UpstreamTlsContextSchema, path, problems);
  return context === null ? null : decodeUpstream(context, path, problems);
}

function decodeUpstream(context: UpstreamTlsContext, path: string, problems: Problems): UpstreamTlsConfig {
  const common = context.commonTlsContext;
  const peer = decodePeerRequirements(common, path, problems);
  if (!asksForCertificate(peer) && peer.sanMatchers.length > 0) {
    problems.invalid(path, "names who the server must be and no roots to verify it with");
  }
  const certificates = decodeCertificates(common, path, problems);
  if (certificates.names.length + certificates.inline.length > 1) {
    problems.invalid(`${path}.common_tls_context`, "names more than one client certificate");
  }
  // A name with other characters could be one thing for the check of names and another for the server.
  if (!/^[\x21-\x7e]*$/.test(context.sni)) problems.invalid(`${path}.sni`, "is not a name in ASCII");
  return {
    ...decodeTlsParameters(common?.tlsParams, "TLSv1.2", `${path}.common_tls_context.tls_params`, problems),
    ...peer,
    secretsOverAds: [...certificates.overAds, ...peer.secretsOverAds],
    sni: context.sni,
    alpnProtocols: common?.alpnProtocols ?? [],
    certificateName: certificates.names[0] ?? null,
    inlineCertificate: certificates.inline[0] ?? null,
    resumesSessions: context.maxSessionKeys !== 0,
    allowsRenegotiation: context.allowRenegotiation,
  };
}

interface Certificates {
  readonly names: readonly string[];
  readonly overAds: readonly string[];
  readonly inline: readonly InlineCertificate[];
}

function decodeCertificates(common: CommonTlsContext | undefined, path: string, problems: Problems): Certificates {
  const where = `${path}.common_tls_context`;
  if (common === undefined) return { names: [], overAds: [], inline: [] };
  if (common.customHandshaker !== undefined)
    problems.unsupported(`${where}.custom_handshaker`, "a handshaker of its own");
  if (common.keyLog !== undefined) problems.unsupported(`${where}.key_log`, "writing session keys to a file");
  const provider =
    common.tlsCertificateProviderInstance ??
    common.tlsCertificateCertificateProvider ??
    common.tlsCertificateCertificateProviderInstance;
  if (provider !== undefined) problems.unsupported(where, "a provider of certificates");
  const names = common.tlsCertificateSdsSecretConfigs.map(({ name }) => name);
  const inline = common.tlsCertificates.flatMap(
    (it, i) => decodeInline(it, `${where}.tls_certificates[${i}]`, problems) ?? [],
  );
  return { names, overAds: namesOverAds(common.tlsCertificateSdsSecretConfigs), inline };
}

function decodeInline(certificate: TlsCertificate, path: string, problems: Problems): InlineCertificate | null {
  if (certificate.pkcs12 !== undefined) problems.unsupported(`${path}.pkcs12`, "PKCS 12");
  if (certificate.privateKeyProvider !== undefined)
    problems.unsupported(`${path}.private_key_provider`, "a key elsewhere");
  if (certificate.ocspStaple !== undefined) problems.leftOut(`${path}.ocsp_staple`, "stapling");
  const chain = inlineText(certificate.certificateChain);
  const key = inlineText(certificate.privateKey);
  if (chain === undefined || key === undefined) {
    problems.unsupported(path, "a certificate that is neither given inline nor named by SDS");
    return null;
  }
  try {
    new X509Certificate(chain);
  } catch {
    problems.invalid(`${path}.certificate_chain`, "has no readable certificate");
    return null;
  }
  const name = `inline:${createHash("sha256").update(chain).update(key).digest("hex")}`;
  return { name, certificateChain: chain, privateKey: key, passphrase: inlineText(certificate.password) };
}
