// Secure contexts for both directions, built once per certificate version and shared by all connections that may use
// them. A changed secret drops the contexts that were made from it: new connections take the new ones, old connections
// go on.
import { constants, createHash, X509Certificate } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";
import { LRUCache } from "lru-cache";
import { coversHost } from "#wire/tls/host-name.ts";
import type { SecretReader } from "#wire/tls/secrets.ts";
import type { InlineCertificate, PeerRequirements, TlsParameters } from "../config/tls.ts";

export interface ContextWish {
  /** SDS names; more than one for servers, each of its own kind of key. */
  readonly certificateNames: readonly string[];
  readonly inlineCertificates: readonly InlineCertificate[];
  readonly peer: Pick<PeerRequirements, "validationName" | "inlineRoots" | "revocationList" | "revocationName">;
  readonly parameters: TlsParameters;
  /** Null for clients. */
  readonly server: ServerWish | null;
  readonly allowsRenegotiation: boolean;
}

interface ServerWish {
  readonly issuesTickets: boolean;
  readonly ticketKeys: Buffer | null;
  readonly sessionTimeoutSeconds: number;
}

/** A session of a verified connection. Node gives no certificate for a resumed one, so its identity is kept here. */
interface ResumableSession {
  readonly ticket: Buffer;
  readonly peerUriSan: string | undefined;
  readonly notAfterMs: number;
}

export interface BuiltContext {
  readonly context: SecureContext;
  /** URI SAN of our own certificate. */
  readonly localUriSan: string | undefined;
  /**
   * TLS sessions to resume, by endpoint and by what its certificate was checked for. They die with the context, so that
   * a session never outlives its trust.
   */
  readonly sessions: LRUCache<string, ResumableSession>;
}

/** Sessions kept for resumption per context. */
const maxSessions = 1024;

/** What a certificate is chosen by. */
interface Leaf {
  readonly dnsNames: readonly string[];
  readonly keyType: string;
}

export class TlsContexts {
  readonly #secrets: SecretReader;
  readonly #built = new Map<string, { readonly secrets: ReadonlySet<string>; readonly context: BuiltContext }>();
  readonly #leaves = new Map<string, Leaf>();
  readonly #keys = new WeakMap<ContextWish, string>();
  readonly #unsubscribe: () => void;

  constructor(secrets: SecretReader) {
    this.#secrets = secrets;
    this.#unsubscribe = secrets.onChange((name) => this.#forget(name));
  }

  #forget(name: string): void {
    this.#leaves.delete(name);
    for (const [key, { secrets }] of this.#built) if (secrets.has(name)) this.#built.delete(key);
  }

  /** The context, or the name of the secret that is missing. Throws what OpenSSL has against the secret. */
  get(wish: ContextWish): BuiltContext | string {
    let key = this.#keys.get(wish);
    if (key === undefined) {
      key = keyOf(wish);
      this.#keys.set(wish, key);
    }
    const built = this.#built.get(key);
    if (built !== undefined) return built.context;
    const made = this.#build(wish, key);
    if (typeof made !== "string") {
      const { certificateNames, peer } = wish;
      const secrets = new Set([...certificateNames, peer.validationName ?? "", peer.revocationName ?? ""]);
      this.#built.set(key, { secrets, context: made });
    }
    return made;
  }

  #build(wish: ContextWish, key: string): BuiltContext | string {
    const { peer, parameters, server } = wish;
    const own: { certificateChain: string; privateKey: string; passphrase?: string | undefined }[] = [
      ...wish.inlineCertificates,
    ];
    let localUriSan: string | undefined;
    for (const name of wish.certificateNames) {
      const certificate = this.#secrets.certificate(name);
      if (certificate === undefined) return name;
      own.push(certificate);
      localUriSan ??= certificate.spiffeId;
    }
    const named = peer.validationName !== null && peer.validationName !== "system";
    const roots = named ? this.#secrets.trustedRoots(peer.validationName) : (peer.inlineRoots ?? undefined);
    if (named && roots === undefined) return peer.validationName;
    const revocations = this.#revocations(peer);
    if (revocations === undefined) return peer.revocationName ?? "";
    const context = createSecureContext({
      ...(own.length > 0 && {
        cert: own.map((it) => it.certificateChain),
        key: own.map(({ privateKey: pem, passphrase }) => (passphrase === undefined ? { pem } : { pem, passphrase })),
      }),
      ...(roots !== undefined && { ca: roots }),
      ...(revocations.length > 0 && { crl: revocations }),
      ...parameterOptions(parameters),
      secureOptions:
        (wish.allowsRenegotiation ? 0 : constants.SSL_OP_NO_RENEGOTIATION) |
        (server?.issuesTickets === false ? constants.SSL_OP_NO_TICKET : 0),
      ...(server !== null && serverOptions(server, key)),
    });
    return { context, localUriSan, sessions: new LRUCache({ max: maxSessions }) };
  }

  /** Inline ones, those of a file, and those that came with the roots; undefined while the file's are missing. */
  #revocations({ validationName, revocationList, revocationName }: ContextWish["peer"]): string[] | undefined {
    const ofFile = revocationName === null ? undefined : this.#secrets.revocationList(revocationName);
    if (revocationName !== null && ofFile === undefined) return undefined;
    const ofRoots = validationName === null ? undefined : this.#secrets.revocationList(validationName);
    return [revocationList, ofFile, ofRoots].filter((list) => list !== null && list !== undefined);
  }

  /**
   * The certificates to show for a server name: of those whose names cover it, else of all, the first of each kind of
   * key, because OpenSSL takes the kind that the client can verify.
   */
  choose(names: readonly string[], inline: readonly InlineCertificate[], serverName: string): ChosenCertificates {
    if (names.length + inline.length <= 1) return { names, inline };
    const all = [
      ...names.flatMap((name) => this.#candidate(name, null)),
      ...inline.flatMap((certificate) => this.#candidate(certificate.name, certificate)),
    ];
    const exact = all.filter(({ leaf }) => leaf.dnsNames.some((name) => name.toLowerCase() === serverName));
    const covering = exact.length > 0 ? exact : all.filter(({ leaf }) => covers(leaf, serverName));
    const byKeyType = new Map<string, Candidate>();
    for (const candidate of covering.length > 0 ? covering : all) {
      if (!byKeyType.has(candidate.leaf.keyType)) byKeyType.set(candidate.leaf.keyType, candidate);
    }
    const chosen = [...byKeyType.values()];
    // Without any that is there, the first one's absence is told.
    if (chosen.length === 0) return { names: names.slice(0, 1), inline: [] };
    return {
      names: chosen.flatMap((it) => (it.inline === null ? [it.name] : [])),
      inline: chosen.flatMap((it) => it.inline ?? []),
    };
  }

  #candidate(name: string, inline: InlineCertificate | null): Candidate[] {
    let leaf = this.#leaves.get(name);
    if (leaf === undefined) {
      const chain = inline?.certificateChain ?? this.#secrets.certificate(name)?.certificateChain;
      if (chain === undefined) return [];
      leaf = readLeaf(chain);
      this.#leaves.set(name, leaf);
    }
    return [{ name, inline, leaf }];
  }

  close(): void {
    this.#unsubscribe();
    this.#built.clear();
    this.#leaves.clear();
  }
}

interface Candidate {
  readonly name: string;
  readonly inline: InlineCertificate | null;
  readonly leaf: Leaf;
}

interface ChosenCertificates {
  readonly names: readonly string[];
  readonly inline: readonly InlineCertificate[];
}

function covers(leaf: Leaf, serverName: string): boolean {
  return leaf.dnsNames.some((name) => coversHost(name, serverName));
}

/** A certificate that can't be read is for no name; OpenSSL will say what is wrong with it. */
function readLeaf(chain: string): Leaf {
  try {
    const certificate = new X509Certificate(chain);
    const names = (certificate.subjectAltName ?? "").split(", ").flatMap((item) => /^DNS:(.+)$/.exec(item)?.[1] ?? []);
    const commonName = /^CN=(.+)$/m.exec(certificate.subject)?.[1];
    return {
      dnsNames: names.length === 0 && commonName !== undefined ? [commonName] : names,
      keyType: certificate.publicKey.asymmetricKeyType ?? "",
    };
  } catch {
    return { dnsNames: [], keyType: "" };
  }
}

function parameterOptions(parameters: TlsParameters): Parameters<typeof createSecureContext>[0] {
  const { minVersion, maxVersion, ciphers, curves, signatureAlgorithms } = parameters;
  return {
    minVersion,
    maxVersion,
    ...(ciphers.length > 0 && { ciphers: cipherList(ciphers), honorCipherOrder: true }),
    ...(curves.length > 0 && { ecdhCurve: curves.join(":") }),
    ...(signatureAlgorithms.length > 0 && { sigalgs: signatureAlgorithms.join(":") }),
  };
}

/** Envoy's list names TLS 1.2 ciphers only; the TLS 1.3 ones are always allowed there. */
function cipherList(ciphers: readonly string[]): string {
  return ["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256", ...ciphers].join(":");
}

function serverOptions(
  { ticketKeys, sessionTimeoutSeconds }: ServerWish,
  key: string,
): Parameters<typeof createSecureContext>[0] {
  return {
    // Without an id OpenSSL refuses resumption where client certificates are asked for.
    sessionIdContext: createHash("sha256").update(key).digest("hex").slice(0, 32),
    ...(ticketKeys !== null && { ticketKeys }),
    ...(sessionTimeoutSeconds > 0 && { sessionTimeout: sessionTimeoutSeconds }),
  };
}

function keyOf({
  certificateNames,
  inlineCertificates,
  peer,
  parameters,
  server,
  allowsRenegotiation,
}: ContextWish): string {
  const { minVersion, maxVersion, ciphers, curves, signatureAlgorithms } = parameters;
  return JSON.stringify([
    certificateNames,
    inlineCertificates.map(({ name }) => name),
    peer.validationName,
    peer.inlineRoots === null ? null : createHash("sha256").update(peer.inlineRoots).digest("base64"),
    peer.revocationList === null ? null : createHash("sha256").update(peer.revocationList).digest("base64"),
    peer.revocationName,
    [minVersion, maxVersion, ciphers, curves, signatureAlgorithms],
    server && [server.issuesTickets, server.ticketKeys?.toString("base64"), server.sessionTimeoutSeconds],
    allowsRenegotiation,
  ]);
}
