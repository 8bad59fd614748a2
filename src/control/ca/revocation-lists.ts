// The revocation lists of a plugged-in CA (`ca-crl.pem` beside its certificates), as proxies are given them. Who checks
// certificates by lists refuses every chain with an issuer that has none, so lists are given out only when each CA in use
// has one that is its own and has not ended. Lists that a new CA comes without are kept for the old one, as long as
// certificates of it are good.
import { createSecureContext } from "node:tls";
import { describeError, OutriggerError } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";
import { type Certificate, parseCertificate } from "#wire/x509/certificate.ts";
import { splitCertificates } from "#wire/x509/pem.ts";
import { parseRevocationLists, type RevocationList } from "#wire/x509/revocation-list.ts";
import type { CertificateAuthority } from "./authority.ts";

export interface RevocationListsOptions {
  readonly authority: CertificateAuthority;
  readonly clock: Clock;
  readonly log: Logger;
  /** What operators have to know, besides the log. */
  readonly tell?: (reason: "CAInvalid" | "CAExpiring" | "CAExpired", message: string) => void;
}

interface IssuerInUse {
  readonly certificate: Certificate;
  /** By then everything that it signed has ended; infinite while it signs. */
  untilMs: number;
}

/** Part of a list's life that is left when operators are told. */
const warnShare = 0.2;
const longestTimerMs = 6 * 3_600_000;

export class RevocationLists implements Running {
  readonly #options: RevocationListsOptions;
  readonly #subscribers = new Set<() => void>();
  readonly #unsubscribe: () => void;
  /** By its DER. */
  readonly #issuers = new Map<string, IssuerInUse>();
  #offered: readonly RevocationList[] = [];
  #place = "";
  #inForce: readonly RevocationList[] = [];
  #pem = "";
  #problem = "";
  #cancel: () => void = () => {};
  /** What was last said about each list, by its text. */
  readonly #said = new Map<string, string>();

  constructor(options: RevocationListsOptions) {
    this.#options = options;
    this.#unsubscribe = options.authority.onChange(() => this.#update());
    this.#noteIssuers();
  }

  /** PEM of the lists in force; empty where nothing is revoked. */
  get pem(): string {
    return this.#pem;
  }

  onChange(callback: () => void): void {
    this.#subscribers.add(callback);
  }

  isRevoked(certificate: Certificate): boolean {
    return this.#inForce.some(
      ({ issuer, serialNumbers }) => issuer.equals(certificate.issuer) && serialNumbers.has(certificate.serialNumber),
    );
  }

  /** Takes lists (PEM; empty for none) in place of those offered before; what cannot be read is told, and changes nothing. */
  offer(text: string, place: string): void {
    try {
      const lists = parseRevocationLists(text);
      // What OpenSSL does not read would cut proxies off.
      if (lists.length > 0) createSecureContext({ crl: lists.map(({ pem }) => pem) });
      this.#offered = lists;
    } catch (error) {
      const reason = error instanceof OutriggerError ? error.message : describeError(error);
      this.#complain(`the revocation lists of ${place} cannot be read, and those from before stay: ${reason}`);
      return;
    }
    this.#place = place;
    this.#update();
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    this.#cancel();
  }

  #update(): void {
    const nowMs = this.#options.clock.now();
    this.#noteIssuers();
    const kept = this.#offered.length === 0 ? [] : this.#inForce.filter((list) => this.#isStillNeeded(list, nowMs));
    const lists = [...this.#offered, ...kept];
    const missing = [...this.#issuers.values()].filter(({ certificate }) => !hasList(certificate, lists, nowMs));
    if (lists.length > 0 && missing.length > 0)
      this.#refuse(
        missing.map(({ certificate }) => certificate),
        nowMs,
      );
    else this.#enforce(lists);
    this.#watchEnds();
  }

  /** Of a CA in use for which nothing came now. */
  #isStillNeeded(list: RevocationList, nowMs: number): boolean {
    return [...this.#issuers.values()].some(
      ({ certificate }) => hasList(certificate, [list], nowMs) && !hasList(certificate, this.#offered, nowMs),
    );
  }

  /** Lists that are complete stay; nothing is checked where there are none. */
  #refuse(missing: readonly Certificate[], nowMs: number): void {
    const names = missing.map(({ serialNumber }) => serialNumber).join(", ");
    const whose = `the CA's certificates with the serial numbers ${names}`;
    const stay = [...this.#issuers.values()].every(({ certificate }) => hasList(certificate, this.#inForce, nowMs));
    if (!stay) this.#enforce([]);
    const now = stay ? "those from before stay" : "no certificate is checked for its revocation";
    this.#complain(
      `${this.#place} has no revocation list, or none that is signed right and good today, of ${whose}: ${now}`,
    );
  }

  #enforce(lists: readonly RevocationList[]): void {
    if (lists.length > 0 || this.#offered.length === 0) this.#problem = "";
    const pem = lists.map((list) => list.pem).join("");
    this.#inForce = lists;
    if (pem === this.#pem) return;
    this.#pem = pem;
    const revoked = lists.reduce((sum, { serialNumbers }) => sum + serialNumbers.size, 0);
    this.#options.log.info("revocation lists are given out", { lists: lists.length, revoked });
    for (const subscriber of this.#subscribers) subscriber();
  }

  #complain(problem: string): void {
    if (problem === this.#problem) return;
    this.#problem = problem;
    this.#options.log.error(problem);
    this.#options.tell?.("CAInvalid", problem);
  }

  /** The CAs of the chain that signs now, and of those before while what they signed is good. */
  #noteIssuers(): void {
    const { authority, clock } = this.#options;
    const { material, root } = authority;
    const own = [...splitCertificates(material.caCertificate), ...splitCertificates(material.certificateChain)];
    const current = new Set([...own.map((pem) => parseCertificate(pem)), root].map(keyOf));
    for (const [key, issuer] of this.#issuers) {
      if (current.has(key)) issuer.untilMs = Number.POSITIVE_INFINITY;
      else if (issuer.untilMs === Number.POSITIVE_INFINITY) issuer.untilMs = authority.latestNotAfterMs;
      const end = Math.min(issuer.untilMs, issuer.certificate.notAfterMs);
      if (end <= clock.now() && !current.has(key)) this.#issuers.delete(key);
    }
    for (const certificate of [...own.map((pem) => parseCertificate(pem)), root]) {
      const key = keyOf(certificate);
      if (!this.#issuers.has(key)) this.#issuers.set(key, { certificate, untilMs: Number.POSITIVE_INFINITY });
    }
  }

  /** Operators hear of a list that ends: from its end on every certificate is refused. */
  #watchEnds(): void {
    const { clock } = this.#options;
    this.#cancel();
    const nowMs = clock.now();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const list of this.#inForce) {
      const { nextUpdateMs, thisUpdateMs } = list;
      if (nextUpdateMs === undefined) continue;
      const warnAtMs = nextUpdateMs - (nextUpdateMs - thisUpdateMs) * warnShare;
      if (nowMs >= warnAtMs) this.#tellEnd(list, nextUpdateMs, nowMs);
      for (const momentMs of [warnAtMs, nextUpdateMs]) if (momentMs > nowMs) nextMs = Math.min(nextMs, momentMs);
    }
    if (nextMs === Number.POSITIVE_INFINITY) return;
    this.#cancel = clock.after(Math.min(longestTimerMs, nextMs - nowMs + 1), () => this.#watchEnds());
  }

  #tellEnd(list: RevocationList, endMs: number, nowMs: number): void {
    const { log, tell } = this.#options;
    const reason = nowMs >= endMs ? "CAExpired" : "CAExpiring";
    if (this.#said.get(list.pem) === reason) return;
    this.#said.set(list.pem, reason);
    const end = new Date(endMs).toISOString();
    const message =
      reason === "CAExpired"
        ? `a revocation list of ${this.#place} ended at ${end}: certificates of its issuer are refused until there is a new one`
        : `a revocation list of ${this.#place} ends at ${end}; certificates of its issuer are refused from then on`;
    log.warn(message);
    tell?.(reason, message);
  }
}

function hasList(certificate: Certificate, lists: readonly RevocationList[], nowMs: number): boolean {
  return lists.some(
    (list) =>
      list.issuer.equals(certificate.subject) &&
      (list.nextUpdateMs ?? Number.POSITIVE_INFINITY) > nowMs &&
      list.isSignedBy(certificate.publicKeyInfo),
  );
}

function keyOf(certificate: Certificate): string {
  return certificate.der.toString("base64");
}
