// Secure contexts for both directions, built once per certificate version and shared by all connections. A changed
// secret drops the contexts that were made from it: new connections take the new ones, old connections go on.
import { createHash } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";
import type { SecretReader } from "#wire/tls/secrets.ts";

export interface ContextWish {
  readonly certificateName: string | null;
  /** Null verifies nothing; "system" stands for the platform's roots. */
  readonly validationName: string | null;
  readonly minVersion: "TLSv1.2" | "TLSv1.3";
  readonly maxVersion: "TLSv1.2" | "TLSv1.3";
  /** Empty takes the platform's list. */
  readonly ciphers: readonly string[];
  readonly isServer: boolean;
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
  /** TLS sessions to resume by endpoint; they die with the context, so a session never outlives its trust. */
  readonly sessions: Map<string, ResumableSession>;
}

export class TlsContexts {
  readonly #secrets: SecretReader;
  readonly #built = new Map<string, BuiltContext>();
  readonly #unsubscribe: () => void;

  constructor(secrets: SecretReader) {
    this.#secrets = secrets;
    this.#unsubscribe = secrets.onChange((name) => this.#forget(name));
  }

  #forget(name: string): void {
    for (const key of this.#built.keys()) {
      const [certificate, validation] = key.split("\n");
      if (certificate === name || validation === name) this.#built.delete(key);
    }
  }

  /** The context, or the name of the secret that is missing. Throws what OpenSSL has against the secret. */
  get(wish: ContextWish, purpose: string): BuiltContext | string {
    const key = [
      wish.certificateName ?? "",
      wish.validationName ?? "",
      wish.minVersion,
      wish.maxVersion,
      wish.ciphers.join(":"),
      wish.isServer ? "server" : "client",
      purpose,
    ].join("\n");
    const built = this.#built.get(key);
    if (built !== undefined) return built;
    const made = this.#build(wish, key);
    if (typeof made !== "string") this.#built.set(key, made);
    return made;
  }

  #build(wish: ContextWish, key: string): BuiltContext | string {
    const certificate = wish.certificateName === null ? undefined : this.#secrets.certificate(wish.certificateName);
    if (wish.certificateName !== null && certificate === undefined) return wish.certificateName;
    const named = wish.validationName !== null && wish.validationName !== "system";
    const roots = named ? this.#secrets.trustedRoots(wish.validationName) : undefined;
    if (named && roots === undefined) return wish.validationName;
    const context = createSecureContext({
      ...(certificate !== undefined && { cert: certificate.certificateChain, key: certificate.privateKey }),
      ...(roots !== undefined && { ca: roots }),
      minVersion: wish.minVersion,
      maxVersion: wish.maxVersion,
      ...(wish.ciphers.length > 0 && { ciphers: cipherList(wish.ciphers), honorCipherOrder: true }),
      // Without an id OpenSSL refuses resumption where client certificates are asked for.
      ...(wish.isServer && { sessionIdContext: createHash("sha256").update(key).digest("hex").slice(0, 32) }),
    });
    return { context, localUriSan: certificate?.spiffeId, sessions: new Map() };
  }

  close(): void {
    this.#unsubscribe();
    this.#built.clear();
  }
}

/** Envoy's list names TLS 1.2 ciphers only; the TLS 1.3 ones are always allowed there. */
function cipherList(ciphers: readonly string[]): string {
  return ["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256", ...ciphers].join(":");
}
