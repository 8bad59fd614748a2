// When the CA's certificates end: Istio's gauges, and a warning to operators while there is time to act.
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import type { MetricRegistry } from "#base/metrics/registry.ts";
import type { Clock } from "#base/time/clock.ts";
import type { Certificate } from "#wire/x509/certificate.ts";
import type { CertificateAuthority } from "./authority.ts";
import { percentLeft } from "./root-renewal.ts";

/** The chain's figures are there only where an intermediate signs, as in Istio. */
export function exposeExpiry(metrics: MetricRegistry, authority: CertificateAuthority, clock: Clock): void {
  const gauge = (name: string, help: string): ReturnType<MetricRegistry["gauge"]> =>
    metrics.gauge(`citadel_server_${name}`, help);
  const root = {
    timestamp: gauge("root_cert_expiry_timestamp", "When the root certificate ends, in seconds since 1970."),
    seconds: gauge("root_cert_expiry_seconds", "Seconds until the root certificate ends; negative afterwards."),
  };
  const chain = {
    timestamp: gauge("cert_chain_expiry_timestamp", "When the CA's own certificate ends, in seconds since 1970."),
    seconds: gauge("cert_chain_expiry_seconds", "Seconds until the CA's own certificate ends; negative afterwards."),
  };
  metrics.onCollect(() => {
    const show = (gauges: typeof root, { notAfterMs }: Certificate): void => {
      gauges.timestamp.labels().set(Math.floor(notAfterMs / 1000));
      gauges.seconds.labels().set((notAfterMs - clock.now()) / 1000);
    };
    show(root, authority.root);
    chain.timestamp.clear();
    chain.seconds.clear();
    if (!authority.issuer.der.equals(authority.root.der)) show(chain, authority.issuer);
  });
}

export interface ExpiryWatchOptions {
  readonly authority: CertificateAuthority;
  readonly clock: Clock;
  readonly log: Logger;
  /** Percent of life left from which on somebody should know. */
  readonly warnBelowPercent: () => number;
  readonly onWarning: (reason: "CAExpiring" | "CAExpired", message: string) => void;
}

const longestCheckMs = 3_600_000;
const shortestCheckMs = 1000;

export class ExpiryWatch implements Running {
  readonly #options: ExpiryWatchOptions;
  readonly #unsubscribe: () => void;
  /** What was last said about each certificate, by its serial number. */
  readonly #said = new Map<string, string>();
  #cancel: () => void = () => {};

  constructor(options: ExpiryWatchOptions) {
    this.#options = options;
    this.#unsubscribe = options.authority.onChange(() => this.#check());
    this.#check();
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    this.#cancel();
  }

  #check(): void {
    const { authority, clock } = this.#options;
    const certificates = new Map([
      [authority.root.serialNumber, authority.root],
      [authority.issuer.serialNumber, authority.issuer],
    ]);
    for (const serial of this.#said.keys()) if (!certificates.has(serial)) this.#said.delete(serial);
    for (const certificate of certificates.values()) this.#judge(certificate);
    const lives = [...certificates.values()].map(({ notAfterMs, notBeforeMs }) => notAfterMs - notBeforeMs);
    const delayMs = Math.min(longestCheckMs, Math.max(shortestCheckMs, Math.min(...lives) / 100));
    this.#cancel();
    this.#cancel = clock.after(delayMs, () => this.#check());
  }

  #judge(certificate: Certificate): void {
    const { authority, clock, log, warnBelowPercent, onWarning } = this.#options;
    const left = percentLeft(certificate, clock.now());
    if (left > warnBelowPercent()) return;
    const reason = left <= 0 ? "CAExpired" : "CAExpiring";
    if (this.#said.get(certificate.serialNumber) === reason) return;
    this.#said.set(certificate.serialNumber, reason);
    const whose = certificate === authority.root ? "the mesh's root certificate" : "the CA's certificate";
    const end = new Date(certificate.notAfterMs).toISOString();
    const message =
      left <= 0
        ? `${whose} expired at ${end}: no certificate can be signed until it is replaced`
        : `${whose} expires at ${end}, with ${Math.floor(left)} % of its life left`;
    log.warn(message, { serial: certificate.serialNumber });
    onWarning(reason, message);
  }
}
