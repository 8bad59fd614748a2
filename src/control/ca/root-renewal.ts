// Renews the self-signed root before it ends, as istiod does: a new certificate for the same key, from a fifth of its
// life on, written to its Secret, from which the other replicas take it. A root that has ended already is renewed too.
import { describeError, hasCode } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";
import { type Certificate, parseCertificate } from "#wire/x509/certificate.ts";
import { type AuthorityMaterial, defaultRootTtlMs, renewSelfSignedMaterial } from "./material.ts";

export interface RootRenewalSettings {
  readonly ttlMs: number;
  /** How often the root is looked at; 0 or less switches renewal off. */
  readonly checkIntervalMs: number;
  /** Percent of its life that is left when it is renewed. */
  readonly gracePercent: number;
  /** The first check after the one at the start comes at some moment of the interval, so that replicas differ. */
  readonly hasJitter: boolean;
}

export const defaultRootRenewal: RootRenewalSettings = {
  ttlMs: defaultRootTtlMs,
  checkIntervalMs: 3_600_000,
  gracePercent: 20,
  hasJitter: true,
};

export interface RootRenewalOptions {
  readonly settings: RootRenewalSettings;
  /** The self-signed material as it is stored; undefined when another CA is in use. */
  readonly read: () => Promise<AuthorityMaterial | undefined>;
  /** Throws API_CONFLICT when somebody else was quicker. */
  readonly write: (expected: AuthorityMaterial, renewed: AuthorityMaterial) => Promise<void>;
  readonly onRenewed: (material: AuthorityMaterial) => void;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random?: () => number;
}

export class RootRenewal implements Running {
  readonly #options: RootRenewalOptions;
  #cancel: () => void = () => {};
  #checking: Promise<void> = Promise.resolve();
  #isStopped = false;

  constructor(options: RootRenewalOptions) {
    this.#options = options;
    const { checkIntervalMs, hasJitter } = options.settings;
    if (checkIntervalMs > 0) this.#check(hasJitter ? (options.random ?? Math.random)() : 1);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancel();
    await this.#checking;
  }

  /** `share`: the part of the interval until the next check. */
  #check(share: number): void {
    const { clock, settings, log } = this.#options;
    this.#checking = this.#renewIfDue()
      .catch((error: unknown) => log.error("the root could not be renewed", { error: describeError(error) }))
      .then(() => {
        if (this.#isStopped) return;
        const delayMs = Math.min(2 ** 31 - 1, settings.checkIntervalMs * share);
        this.#cancel = clock.after(delayMs, () => this.#check(1));
      });
  }

  async #renewIfDue(): Promise<void> {
    const { settings, read, write, onRenewed, clock, log } = this.#options;
    const material = await read();
    if (material === undefined || !isRenewalDue(material, settings, clock.now())) return;
    const renewed = renewSelfSignedMaterial(material, clock.now(), settings.ttlMs);
    try {
      await write(material, renewed);
    } catch (error) {
      // Another replica has renewed it; the watch of the Secret brings what it made.
      if (hasCode(error, "API_CONFLICT")) return;
      throw error;
    }
    log.info("the self-signed root is renewed", { ends: new Date(notAfterMs(renewed)).toISOString() });
    onRenewed(renewed);
  }
}

export function isRenewalDue(
  material: AuthorityMaterial,
  { gracePercent }: Pick<RootRenewalSettings, "gracePercent">,
  nowMs: number,
): boolean {
  const certificate = parseCertificate(material.caCertificate);
  return isSelfSigned(certificate) && percentLeft(certificate, nowMs) <= gracePercent;
}

/** Of its whole life; below 0 when it has ended. */
export function percentLeft(certificate: Certificate, nowMs: number): number {
  return ((certificate.notAfterMs - nowMs) / (certificate.notAfterMs - certificate.notBeforeMs)) * 100;
}

function isSelfSigned(certificate: Certificate): boolean {
  return certificate.issuer.equals(certificate.subject);
}

function notAfterMs(material: AuthorityMaterial): number {
  return parseCertificate(material.caCertificate).notAfterMs;
}
