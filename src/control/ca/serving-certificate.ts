// The control plane's own certificate: signed by its CA, renewed at half of its life and whenever the CA changes.
import { hasCode } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Clock } from "#base/time/clock.ts";
import type { CertificateAuthority, ServingCertificate } from "./authority.ts";

export interface ServingCertificateOptions {
  readonly authority: CertificateAuthority;
  readonly dnsNames: readonly string[];
  readonly clock: Clock;
  readonly ttlMs?: number;
}

/** The names under which proxies and API servers reach the control plane. */
export function servingNames(namespace: string, revision: string, custom: readonly string[] = []): string[] {
  const names = [`istiod.${namespace}.svc`, `istiod-remote.${namespace}.svc`, `istio-pilot.${namespace}.svc`];
  if (revision !== "" && revision !== "default") names.push(`istiod-${revision}.${namespace}.svc`);
  return [...new Set([...names, ...names.map((name) => `${name}.cluster.local`), ...custom])];
}

const retryMs = 5000;

export class ServingCertificateKeeper implements Running {
  readonly #options: ServingCertificateOptions;
  readonly #subscribers = new Set<(certificate: ServingCertificate) => void>();
  readonly #unsubscribe: () => void;
  #cancel: () => void = () => {};
  #current: ServingCertificate;

  constructor(options: ServingCertificateOptions) {
    this.#options = options;
    this.#current = this.#issue();
    this.#unsubscribe = options.authority.onChange(() => this.renew());
  }

  get current(): ServingCertificate {
    return this.#current;
  }

  onChange(callback: (certificate: ServingCertificate) => void): void {
    this.#subscribers.add(callback);
  }

  /** While the CA's own certificate has ended the old one stays, and is asked for again. */
  renew(): void {
    try {
      this.#current = this.#issue();
    } catch (error) {
      if (!hasCode(error, "CA_EXPIRED")) throw error;
      this.#cancel();
      this.#cancel = this.#options.clock.after(retryMs, () => this.renew());
      return;
    }
    for (const subscriber of this.#subscribers) subscriber(this.#current);
  }

  async stop(): Promise<void> {
    this.#cancel();
    this.#unsubscribe();
  }

  #issue(): ServingCertificate {
    const { authority, dnsNames, clock, ttlMs } = this.#options;
    const certificate = authority.issueServing(dnsNames, ttlMs);
    this.#cancel();
    const halfLifeMs = Math.max(1000, (certificate.notAfterMs - clock.now()) / 2);
    // Timers above 2^31 ms fire at once.
    this.#cancel = clock.after(Math.min(halfLifeMs, 2 ** 31 - 1), () => this.renew());
    return certificate;
  }
}
