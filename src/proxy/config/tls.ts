// Runtime shape of TLS on both sides: which certificates are shown, who the other end must be, what may be negotiated.

export type TlsVersion = "TLSv1.2" | "TLSv1.3";

/** What may be negotiated. Empty lists take the platform's. */
export interface TlsParameters {
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
  readonly ciphers: readonly string[];
  readonly curves: readonly string[];
  readonly signatureAlgorithms: readonly string[];
}

/** A certificate that stands in the configuration itself. */
export interface InlineCertificate {
  /** By its content, so that equal ones are one. */
  readonly name: string;
  /** PEM, leaf first. */
  readonly certificateChain: string;
  /** PEM. Never logged or dumped. */
  readonly privateKey: string;
  readonly passphrase: string | undefined;
}

/** Who the other end must be. Everything that is named must hold. */
export interface PeerRequirements {
  /** SDS name of trusted roots; "system" for the platform's; null: no chain is verified, unless there are inline ones. */
  readonly validationName: string | null;
  /** PEM of trusted roots that stand in the configuration itself. */
  readonly inlineRoots: string | null;
  /** PEM of revocation lists. */
  readonly revocationList: string | null;
  /** Name of revocation lists that are kept in a file. Without them nobody is trusted. */
  readonly revocationName: string | null;
  /** Names of certificates and roots that the control plane gives. */
  readonly secretsOverAds: readonly string[];
  /** One of them must match one name of its type; an empty list accepts every name. */
  readonly sanMatchers: readonly SanMatcher[];
  /** SHA-256 of the certificate, in hexadecimal, or of its public key, in base64: one of all must be the peer's. */
  readonly certificateHashes: readonly string[];
  readonly publicKeyHashes: readonly string[];
  /** Most certificates between the peer's and a root; null: as many as OpenSSL takes. */
  readonly maxDepth: number | null;
  /** What does not hold is noted and not enforced. */
  readonly acceptsUntrusted: boolean;
}

export type SanType = "uri" | "dns" | "email" | "ip" | "other";

/** A matcher of one type of name. The same text under another type is another name. */
export interface SanMatcher {
  readonly type: SanType;
  /** Of other names: their type, dotted; empty otherwise. */
  readonly oid: string;
  readonly matches: (value: string) => boolean;
  readonly description: string;
}

export interface DownstreamTlsConfig extends TlsParameters, PeerRequirements {
  readonly alpnProtocols: readonly string[];
  /** SDS names, in order of preference. */
  readonly certificateNames: readonly string[];
  readonly inlineCertificates: readonly InlineCertificate[];
  readonly requireClientCertificate: boolean;
  /** A hello without a server name is refused. */
  readonly requireServerName: boolean;
  /** Sessions are resumed by tickets; false: never. */
  readonly issuesTickets: boolean;
  /** 48 bytes from which tickets are sealed; null: random ones. */
  readonly ticketKeys: Buffer | null;
  /** 0: as long as OpenSSL keeps them. */
  readonly sessionTimeoutSeconds: number;
}

export interface UpstreamTlsConfig extends TlsParameters, PeerRequirements {
  readonly sni: string;
  readonly alpnProtocols: readonly string[];
  /** SDS name of the client certificate, or null. */
  readonly certificateName: string | null;
  readonly inlineCertificate: InlineCertificate | null;
  /** Whether sessions are resumed. */
  readonly resumesSessions: boolean;
  readonly allowsRenegotiation: boolean;
}

/** No requirement at all, for configurations that name some. */
export const anyPeer: PeerRequirements = {
  validationName: null,
  inlineRoots: null,
  revocationList: null,
  revocationName: null,
  secretsOverAds: [],
  sanMatchers: [],
  certificateHashes: [],
  publicKeyHashes: [],
  maxDepth: null,
  acceptsUntrusted: false,
};

export const plainDownstreamTls: DownstreamTlsConfig = {
  ...anyPeer,
  minVersion: "TLSv1.2",
  maxVersion: "TLSv1.3",
  ciphers: [],
  curves: [],
  signatureAlgorithms: [],
  alpnProtocols: [],
  certificateNames: [],
  inlineCertificates: [],
  requireClientCertificate: false,
  requireServerName: false,
  issuesTickets: true,
  ticketKeys: null,
  sessionTimeoutSeconds: 0,
};

export const plainUpstreamTls: UpstreamTlsConfig = {
  ...anyPeer,
  minVersion: "TLSv1.2",
  maxVersion: "TLSv1.2",
  ciphers: [],
  curves: [],
  signatureAlgorithms: [],
  sni: "",
  alpnProtocols: [],
  certificateName: null,
  inlineCertificate: null,
  resumesSessions: true,
  allowsRenegotiation: false,
};

/** Whether the chain of the other end is verified. */
export function verifiesChain(peer: PeerRequirements): boolean {
  return peer.validationName !== null || peer.inlineRoots !== null;
}

/** Whether anything at all is asked of the other end's certificate. */
export function asksForCertificate(peer: PeerRequirements): boolean {
  return verifiesChain(peer) || peer.certificateHashes.length + peer.publicKeyHashes.length > 0;
}
