// TLS contexts of listeners: Istio's mutual TLS on inbound, and the servers of Gateways and Sidecars.
import { create } from "@bufbuild/protobuf";
import { type TransportSocket, TransportSocketSchema } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import {
  TlsParameters_TlsProtocol,
  CertificateValidationContext_TrustChainVerification as TrustChainVerification,
} from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.ts";
import { DownstreamTlsContextSchema } from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts";
import type { MeshConfig } from "../../kinds/mesh-config/spec.ts";
import type { ServerTlsSettings, TlsVersion } from "../../objects/fields/server-tls.ts";
import { knownCipherSuites, knownCurves } from "../../objects/fields/tls-parameters.ts";
import { exactMatcher, pack, prefixMatcher } from "../envoy-values.ts";
import {
  fileCertificate,
  fileRoots,
  secretName,
  secretRootsName,
  trustedRoots,
  workloadCertificate,
} from "../names.ts";
import { secretReference } from "./secret-reference.ts";

export interface InboundTlsSettings {
  /** The mesh's trust domain and its aliases: whose identities may call. */
  readonly trustDomains: readonly string[];
  readonly minVersion: "TLSV1_2" | "TLSV1_3";
  readonly cipherSuites: readonly string[];
}

/** Builds the server side of mutual TLS between sidecars; TCP chains also offer the metadata exchange. */
export function inboundMutualTls(protocol: "http" | "tcp", settings: InboundTlsSettings): TransportSocket {
  return downstreamSocket({
    commonTlsContext: {
      tlsParams: {
        tlsMinimumProtocolVersion: TlsParameters_TlsProtocol[settings.minVersion === "TLSV1_3" ? "TLSv1_3" : "TLSv1_2"],
        tlsMaximumProtocolVersion: TlsParameters_TlsProtocol.TLSv1_3,
        cipherSuites: ciphersOf(settings.cipherSuites),
      },
      tlsCertificateSdsSecretConfigs: [secretReference(workloadCertificate)],
      validationContextType: {
        case: "combinedValidationContext",
        value: {
          defaultValidationContext: {
            matchSubjectAltNames: settings.trustDomains.map((domain) => prefixMatcher(`spiffe://${domain}/`)),
          },
          validationContextSdsSecretConfig: secretReference(trustedRoots),
        },
      },
      alpnProtocols: protocol === "tcp" ? ["istio-peer-exchange", "h2", "http/1.1"] : ["h2", "http/1.1"],
    },
    requireClientCertificate: true,
  });
}

/** The first wish in which there is any known one, else Istio's choice. */
function ciphersOf(...wishes: readonly (readonly string[])[]): string[] {
  return wishes.map(knownCipherSuites).find((known) => known.length > 0) ?? [...serverCiphers];
}

/** Ciphers that servers accept below TLS 1.3. */
const serverCiphers: readonly string[] = [
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "AES256-GCM-SHA384",
  "AES128-GCM-SHA256",
];

/** Builds the TLS that a server of a Gateway, or an ingress listener of a Sidecar, terminates. */
export function serverTls(
  settings: ServerTlsSettings,
  protocol: "http" | "tcp",
  { tlsDefaults }: Pick<MeshConfig, "tlsDefaults">,
): TransportSocket {
  const asksForCertificate = settings.mode !== "SIMPLE";
  const istioMutual = settings.mode === "ISTIO_MUTUAL";
  const rootsName = clientRootsName(settings);
  const validation = {
    matchSubjectAltNames: settings.subjectAltNames.map(exactMatcher),
    verifyCertificateSpki: [...settings.verifyCertificateSpki],
    verifyCertificateHash: [...settings.verifyCertificateHash],
    ...(settings.caCrl !== "" && { crl: { specifier: { case: "filename" as const, value: settings.caCrl } } }),
    ...(settings.insecureSkipVerify === true && { trustChainVerification: TrustChainVerification.ACCEPT_UNTRUSTED }),
  };
  return downstreamSocket({
    commonTlsContext: {
      tlsParams: {
        tlsMinimumProtocolVersion: version(settings.minProtocolVersion, TlsParameters_TlsProtocol.TLSv1_2),
        tlsMaximumProtocolVersion: version(settings.maxProtocolVersion, TlsParameters_TlsProtocol.TLSv1_3),
        cipherSuites: ciphersOf(settings.cipherSuites, tlsDefaults.cipherSuites),
        ecdhCurves: istioMutual ? [] : knownCurves(tlsDefaults.ecdhCurves),
      },
      tlsCertificateSdsSecretConfigs: istioMutual
        ? [secretReference(workloadCertificate)]
        : certificateNames(settings).map(secretReference),
      ...(asksForCertificate && {
        validationContextType: {
          case: "combinedValidationContext" as const,
          value: { defaultValidationContext: validation, validationContextSdsSecretConfig: secretReference(rootsName) },
        },
      }),
      alpnProtocols: protocol === "http" ? ["h2", "http/1.1"] : ["istio-peer-exchange", "h2", "http/1.1"],
    },
    requireClientCertificate: settings.mode === "MUTUAL" || istioMutual,
  });
}

function certificateNames(settings: ServerTlsSettings): readonly string[] {
  const credentials = credentialNames(settings);
  if (credentials.length > 0) return credentials.map(secretName);
  return (settings.tlsCertificates.length > 0 ? settings.tlsCertificates : [settings]).map(fileCertificate);
}

function credentialNames({ credentialNames, credentialName }: ServerTlsSettings): readonly string[] {
  return credentialNames.length > 0 || credentialName === "" ? credentialNames : [credentialName];
}

function clientRootsName(settings: ServerTlsSettings): string {
  const { mode, caCertCredentialName, caCertificates, tlsCertificates } = settings;
  if (mode === "ISTIO_MUTUAL") return trustedRoots;
  if (caCertCredentialName !== "") return secretRootsName(caCertCredentialName);
  const [credential] = credentialNames(settings);
  if (credential !== undefined) return secretRootsName(credential);
  const ofPair = tlsCertificates.find((pair) => pair.caCertificates !== "")?.caCertificates;
  return fileRoots(caCertificates || (ofPair ?? ""));
}

function version(asked: TlsVersion, otherwise: TlsParameters_TlsProtocol): TlsParameters_TlsProtocol {
  return versions[asked] ?? otherwise;
}

const versions: Readonly<Partial<Record<TlsVersion, TlsParameters_TlsProtocol>>> = {
  // Both are broken, and raised (RFC 8996).
  TLSV1_0: TlsParameters_TlsProtocol.TLSv1_2,
  TLSV1_1: TlsParameters_TlsProtocol.TLSv1_2,
  TLSV1_2: TlsParameters_TlsProtocol.TLSv1_2,
  TLSV1_3: TlsParameters_TlsProtocol.TLSv1_3,
};

function downstreamSocket(init: Parameters<typeof pack<typeof DownstreamTlsContextSchema>>[1]): TransportSocket {
  return create(TransportSocketSchema, {
    name: "envoy.transport_sockets.tls",
    configType: { case: "typedConfig", value: pack(DownstreamTlsContextSchema, init) },
  });
}
