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
  /** PEM of revocation lists: those that came with roots of this name, or that stand alone under it. */
  revocationList(name: string): string | undefined;
  /** Calls back after any secret changed; the returned function ends the subscription. */
  onChange(callback: (name: string) => void): () => void;
}

export class SecretStore implements SecretReader {
  readonly #certificates = new Map<string, TlsCertificate>();
  readonly #roots = new Map<string, string>();
  readonly #revocationLists = new Map<string, string>();
  readonly #wantedSubscribers = new Set<() => void>();
  readonly #wantedBy = new Map<string, ReadonlySet<string>>();
  readonly #subscribers = new Set<(name: string) => void>();

  certificate(name: string): TlsCertificate | undefined {
    return this.#certificates.get(name);
  }

  trustedRoots(name: string): string | undefined {
    return this.#roots.get(name);
  }

  revocationList(name: string): string | undefined {
    return this.#revocationLists.get(name);
  }

  /** Names that the configuration and others refer to now, whoever fills them. */
  get wanted(): ReadonlySet<string> {
    return new Set([...this.#wantedBy.values()].flatMap((names) => [...names]));
  }

  /** Calls back after other names are wanted; the returned function ends the subscription. */
  onWanted(callback: () => void): () => void {
    this.#wantedSubscribers.add(callback);
    return () => this.#wantedSubscribers.delete(callback);
  }

  /** Replaces the names of one who wants: the configuration, or a client of the agent's socket. */
  setWanted(names: ReadonlySet<string>, by = "configuration"): void {
    const before = this.#wantedBy.get(by) ?? new Set();
    if (names.size === before.size && names.isSubsetOf(before)) return;
    if (names.size === 0) this.#wantedBy.delete(by);
    else this.#wantedBy.set(by, names);
    for (const subscriber of this.#wantedSubscribers) subscriber();
  }

  onChange(callback: (name: string) => void): () => void {
    this.#subscribers.add(callback);
    return () => this.#subscribers.delete(callback);
  }

  setCertificate(name: string, certificate: TlsCertificate): void {
    this.#certificates.set(name, certificate);
    this.#notify(name);
  }

  setTrustedRoots(name: string, pem: string, revocationList?: string): void {
    if (this.#roots.get(name) === pem && this.#revocationLists.get(name) === revocationList) return;
    this.#roots.set(name, pem);
    if (revocationList === undefined) this.#revocationLists.delete(name);
    else this.#revocationLists.set(name, revocationList);
    this.#notify(name);
  }

  setRevocationList(name: string, pem: string): void {
    if (this.#revocationLists.get(name) === pem) return;
    this.#revocationLists.set(name, pem);
    this.#notify(name);
  }

  /** New connections do without it, which is to say that they fail. */
  remove(name: string): void {
    const wasThere = [this.#certificates, this.#roots, this.#revocationLists].map((all) => all.delete(name));
    if (wasThere.includes(true)) this.#notify(name);
  }

  certificateNames(): string[] {
    return [...this.#certificates.keys()];
  }

  revocationListNames(): string[] {
    return [...this.#revocationLists.keys()];
  }

  rootNames(): string[] {
    return [...this.#roots.keys()];
  }

  #notify(name: string): void {
    for (const subscriber of this.#subscribers) subscriber(name);
  }
}
