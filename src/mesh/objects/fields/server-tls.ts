// TLS of a server: of a Gateway, and of a Sidecar's ingress listener.
import { boolean, type Decoder, flag, list, oneOf, optional, record, strings, text, withDefault } from "../decode.ts";

export const ServerTlsMode = {
  Passthrough: "PASSTHROUGH",
  Simple: "SIMPLE",
  Mutual: "MUTUAL",
  AutoPassthrough: "AUTO_PASSTHROUGH",
  IstioMutual: "ISTIO_MUTUAL",
  OptionalMutual: "OPTIONAL_MUTUAL",
} as const;
export type ServerTlsMode = (typeof ServerTlsMode)[keyof typeof ServerTlsMode];

export const TlsVersion = {
  Auto: "TLS_AUTO",
  Tls10: "TLSV1_0",
  Tls11: "TLSV1_1",
  Tls12: "TLSV1_2",
  Tls13: "TLSV1_3",
} as const;
export type TlsVersion = (typeof TlsVersion)[keyof typeof TlsVersion];

export interface ServerTlsSettings {
  /** Answers every request of a plaintext HTTP server with 301 to https. */
  readonly httpsRedirect: boolean;
  readonly mode: ServerTlsMode;
  readonly serverCertificate: string;
  readonly privateKey: string;
  readonly caCertificates: string;
  readonly caCrl: string;
  readonly credentialName: string;
  readonly credentialNames: readonly string[];
  readonly caCertCredentialName: string;
  readonly tlsCertificates: readonly TlsCertificate[];
  readonly subjectAltNames: readonly string[];
  readonly verifyCertificateSpki: readonly string[];
  readonly verifyCertificateHash: readonly string[];
  readonly minProtocolVersion: TlsVersion;
  readonly maxProtocolVersion: TlsVersion;
  readonly cipherSuites: readonly string[];
  readonly insecureSkipVerify?: boolean;
}

interface TlsCertificate {
  readonly serverCertificate: string;
  readonly privateKey: string;
  readonly caCertificates: string;
}

export const decodeTlsVersion: Decoder<TlsVersion> = oneOf(Object.values(TlsVersion));

const decodeCertificate = record<TlsCertificate>({ serverCertificate: text, privateKey: text, caCertificates: text });

export const decodeServerTls: Decoder<ServerTlsSettings> = record<ServerTlsSettings>({
  httpsRedirect: flag,
  mode: withDefault(oneOf(Object.values(ServerTlsMode)), ServerTlsMode.Passthrough),
  serverCertificate: text,
  privateKey: text,
  caCertificates: text,
  caCrl: text,
  credentialName: text,
  credentialNames: strings,
  caCertCredentialName: text,
  tlsCertificates: list(decodeCertificate),
  subjectAltNames: strings,
  verifyCertificateSpki: strings,
  verifyCertificateHash: strings,
  minProtocolVersion: withDefault(decodeTlsVersion, TlsVersion.Auto),
  maxProtocolVersion: withDefault(decodeTlsVersion, TlsVersion.Auto),
  cipherSuites: strings,
  insecureSkipVerify: optional(boolean),
});
