// In-memory secrets by SDS resource name (`default`, `ROOTCA`, ...). The agent's identity part fills one; the
// proxy's transport part reads it. Keys exist only here and in the TLS contexts made from them.

export interface TlsCertificate {
  /** PEM, leaf first. */
  readonly certificateChain: string;
  /** PEM. Never logged, dumped or written to disk. */
  readonly privateKey: string;
  readonly notAfterMs: number;
  readonly notBeforeMs: number;
  readonly serialNumber: string;
  /** URI SAN of the leaf. */
  readonly spiffeId: string | undefined;
}

export interface SecretReader {
  certificate(name: string): TlsCertificate | undefined;
  /** PEM bundle of trusted roots. */
  trustedRoots(name: string): string | undefined;
  /** Calls back after any secret changed; the returned function ends the subscription. */
  onChange(callback: (name: string) => void): () => void;
}

export class SecretStore implements SecretReader {
  readonly #certificates = new Map<string, TlsCertificate>();
  readonly #roots = new Map<string, string>();
  readonly #subscribers = new Set<(name: string) => void>();

  certificate(name: string): TlsCertificate | undefined {
    return this.#certificates.get(name);
  }

  trustedRoots(name: string): string | undefined {
    return this.#roots.get(name);
  }

  onChange(callback: (name: string) => void): () => void {
    this.#subscribers.add(callback);
    return () => this.#subscribers.delete(callback);
  }

  setCertificate(name: string, certificate: TlsCertificate): void {
    this.#certificates.set(name, certificate);
    this.#notify(name);
  }

  setTrustedRoots(name: string, pem: string): void {
    if (this.#roots.get(name) === pem) return;
    this.#roots.set(name, pem);
    this.#notify(name);
  }

  certificateNames(): string[] {
    return [...this.#certificates.keys()];
  }

  rootNames(): string[] {
    return [...this.#roots.keys()];
  }

  #notify(name: string): void {
    for (const subscriber of this.#subscribers) subscriber(name);
  }
}
