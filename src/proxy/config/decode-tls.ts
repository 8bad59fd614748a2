// Transport sockets: raw_buffer, and TLS whose certificates and roots are named (SDS). Secrets themselves never stand in
// a listener or a cluster here: the names lead to the secret store.
import type { TransportSocket } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import { ProxyProtocolConfig_Version as ProxyVersion } from "#wire/gen/envoy/config/core/v3/proxy_protocol_pb.ts";
import { ProxyProtocolUpstreamTransportSchema } from "#wire/gen/envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol_pb.ts";
import { RawBufferSchema } from "#wire/gen/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer_pb.ts";
import {
  type CertificateValidationContext,
  SubjectAltNameMatcher_SanType as SanType,
  type TlsParameters,
  TlsParameters_TlsProtocol as TlsProtocol,
} from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.ts";
import {
  type CommonTlsContext,
  DownstreamTlsContextSchema,
  UpstreamTlsContextSchema,
} from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts";
import type { TransportSocketMatch, UpstreamTlsConfig } from "./cluster.ts";
import type { DownstreamTlsConfig } from "./listener.ts";
import type { StringMatcher } from "./matcher.ts";
import { decodeStringMatcher } from "./parse/matcher.ts";
import { passedTlvs } from "./parse/proxy-protocol.ts";
import { typeName, unpack } from "./parse/values.ts";
import type { Problems } from "./problems.ts";

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
  if (context === null) return null;
  const common = context.commonTlsContext;
  const certificateNames = certificates(common, path, problems);
  if (certificateNames.length === 0) problems.invalid(path, "names no certificate");
  const validation = decodeValidation(common, path, problems);
  const requireClientCertificate = context.requireClientCertificate ?? false;
  if (requireClientCertificate && validation.name === null) {
    problems.invalid(path, "requires a client certificate and names no roots to verify it with");
  }
  return {
    alpnProtocols: common?.alpnProtocols ?? [],
    certificateNames,
    validationName: validation.name,
    requireClientCertificate,
    uriSanMatchers: validation.sanMatchers,
    ...versions(common?.tlsParams, "TLSv1.2", "TLSv1.3"),
    ciphers: common?.tlsParams?.cipherSuites ?? [],
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
  if (context === null) return null;
  const common = context.commonTlsContext;
  const validation = decodeValidation(common, path, problems);
  if (validation.name === null && validation.sanMatchers.length > 0) {
    problems.invalid(path, "names who the server must be and no roots to verify it with");
  }
  return {
    sni: context.sni,
    alpnProtocols: common?.alpnProtocols ?? [],
    certificateName: certificates(common, path, problems)[0] ?? null,
    validationName: validation.name,
    sanMatchers: validation.sanMatchers,
    ...versions(common?.tlsParams, "TLSv1.2", "TLSv1.2"),
  };
}

function certificates(common: CommonTlsContext | undefined, path: string, problems: Problems): string[] {
  if ((common?.tlsCertificates.length ?? 0) > 0) {
    problems.unsupported(`${path}.common_tls_context.tls_certificates`, "a certificate that is not named by SDS");
  }
  return common?.tlsCertificateSdsSecretConfigs.map((config) => config.name) ?? [];
}

interface Validation {
  readonly name: string | null;
  readonly sanMatchers: readonly StringMatcher[];
}

function decodeValidation(common: CommonTlsContext | undefined, path: string, problems: Problems): Validation {
  const type = common?.validationContextType;
  const where = `${path}.common_tls_context`;
  switch (type?.case) {
    case "validationContextSdsSecretConfig":
      return { name: rootsName(type.value.name), sanMatchers: [] };
    case "combinedValidationContext": {
      const inline = type.value.defaultValidationContext;
      return {
        name: rootsName(type.value.validationContextSdsSecretConfig?.name ?? ""),
        sanMatchers: decodeSans(inline, `${where}.combined_validation_context`, problems),
      };
    }
    case "validationContext": {
      const context = type.value;
      if (context.trustedCa !== undefined) {
        problems.unsupported(`${where}.validation_context.trusted_ca`, "a root that is not named by SDS");
      }
      return {
        name: context.systemRootCerts === undefined ? null : "system",
        sanMatchers: decodeSans(context, `${where}.validation_context`, problems),
      };
    }
    case undefined:
      return { name: null, sanMatchers: [] };
    default:
      problems.unsupported(where, `validation by ${type?.case}`);
      return { name: null, sanMatchers: [] };
  }
}

/** Istio's name for the platform's roots. */
function rootsName(name: string): string {
  return name === "file-root:system" ? "system" : name;
}

function decodeSans(
  context: CertificateValidationContext | undefined,
  path: string,
  problems: Problems,
): StringMatcher[] {
  if (context === undefined) return [];
  if (context.verifyCertificateHash.length > 0) problems.unsupported(`${path}.verify_certificate_hash`, "pinning");
  if (context.verifyCertificateSpki.length > 0) problems.unsupported(`${path}.verify_certificate_spki`, "pinning");
  if (context.crl !== undefined) problems.unsupported(`${path}.crl`, "a revocation list");
  if (context.customValidatorConfig !== undefined) {
    problems.unsupported(`${path}.custom_validator_config`, "a validator of its own");
  }
  return [
    ...context.matchSubjectAltNames.map((it, i) =>
      decodeStringMatcher(it, `${path}.match_subject_alt_names[${i}]`, problems),
    ),
    ...context.matchTypedSubjectAltNames.map((it, i) => {
      const where = `${path}.match_typed_subject_alt_names[${i}]`;
      if (it.sanType !== SanType.URI && it.sanType !== SanType.DNS) {
        problems.unsupported(`${where}.san_type`, "a name that is neither URI nor DNS");
      }
      return decodeStringMatcher(it.matcher, `${where}.matcher`, problems);
    }),
  ];
}

type Version = DownstreamTlsConfig["minVersion"];

/** Versions below TLS 1.2 are raised to it: they are broken. */
function versions(
  params: TlsParameters | undefined,
  minimum: Version,
  maximum: Version,
): { readonly minVersion: Version; readonly maxVersion: Version } {
  const min = params?.tlsMinimumProtocolVersion ?? TlsProtocol.TLS_AUTO;
  const max = params?.tlsMaximumProtocolVersion ?? TlsProtocol.TLS_AUTO;
  const minVersion = min === TlsProtocol.TLSv1_3 ? "TLSv1.3" : min === TlsProtocol.TLS_AUTO ? minimum : "TLSv1.2";
  const asked = max === TlsProtocol.TLSv1_3 ? "TLSv1.3" : max === TlsProtocol.TLS_AUTO ? maximum : "TLSv1.2";
  return { minVersion, maxVersion: minVersion === "TLSv1.3" ? "TLSv1.3" : asked };
}
