// From one CA to the next without a moment in which somebody is not believed. New material signs nothing before its
// root is where workloads read it, and the root of the old one is trusted until everything that it signed has ended.
//
//   signing with A ──offer(B)──► roots A + B everywhere, A signs ──settled──► B signs, roots B + A ──A's last leaf ends──► B
//
// Material whose root has been trusted for a while (a new intermediate, a root that came beforehand) signs at once. So
// does a root that was renewed for the same key and name: what it signs leads to the old certificate too, and who has a
// certificate is given the new root with the next one, which it needs before the old root ends.
import { describeError } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";
import { parseCertificate } from "#wire/x509/certificate.ts";
import { splitCertificates } from "#wire/x509/pem.ts";
import type { CertificateAuthority } from "./authority.ts";
import type { KnownRoot, RootMemory } from "./known-roots.ts";
import { type AuthorityMaterial, checkMaterial, isSameMaterial } from "./material.ts";

export interface MaterialSwitchOptions {
  readonly authority: CertificateAuthority;
  readonly clock: Clock;
  readonly log: Logger;
  /** Resolves when the authority's roots are written wherever workloads read them; absent where nobody is told. */
  readonly distributed?: () => Promise<void>;
  /** How long after that workloads may take to read them. Kubelets refresh ConfigMaps once a minute. */
  readonly settleMs?: number;
  readonly memory?: RootMemory;
  readonly known?: readonly KnownRoot[];
  readonly onSwitched?: (place: string) => void;
}

const defaultSettleMs = 120_000;
/** A namespace that refuses the roots does not stop a rotation for longer. */
const maxDistributionMs = 10 * 60_000;
/** Timers hold less than 25 days; a longer wait is cut into pieces. */
const longestTimerMs = 6 * 3_600_000;

interface Coming {
  readonly material: AuthorityMaterial;
  cancel: () => void;
}

export class MaterialSwitch implements Running {
  readonly #options: MaterialSwitchOptions;
  /** Root → since when workloads are told to trust it. */
  readonly #trustedSince = new Map<string, number>();
  /** Root → until when it is trusted beside those of the CA. */
  readonly #retired = new Map<string, number>();
  #coming: Coming | undefined;
  /** PEM of roots that the mesh's configuration names. */
  #configured = "";
  #cancelRetirement: () => void = () => {};
  #isStopped = false;

  constructor(options: MaterialSwitchOptions) {
    this.#options = options;
    const { authority, known = [] } = options;
    const own = rootsOf(authority.material);
    for (const root of own) this.#trustedSince.set(root, Number.NEGATIVE_INFINITY);
    for (const { certificate, untilMs } of known) {
      if (own.includes(certificate)) continue;
      this.#retire(certificate, untilMs);
      this.#trustedSince.set(certificate, Number.NEGATIVE_INFINITY);
    }
    this.#update(authority.material);
  }

  /** Takes over what was renewed of the CA in use; another one that is about to take its place still does. */
  offerRenewed(material: AuthorityMaterial, place: string): void {
    if (this.#isStopped) return;
    const { authority } = this.#options;
    if (this.#coming === undefined) this.offer(material, place);
    else if (isRenewal(material.caCertificate, authority.material.caCertificate)) this.#switchIfGood(material, place);
  }

  /** Takes new material over, at once or later; throws CA_MATERIAL_INVALID. */
  offer(material: AuthorityMaterial, place: string): void {
    const { authority, clock, log } = this.#options;
    if (this.#isStopped || (this.#coming !== undefined && isSameMaterial(material, this.#coming.material))) return;
    if (isSameMaterial(material, authority.material)) {
      this.#abandon();
      return;
    }
    const { root } = checkMaterial(material, clock.now());
    this.#abandon();
    const waitMs = this.#waitFor(rootsOf(material).find((pem) => parseCertificate(pem).der.equals(root.der)) ?? "");
    if (waitMs <= 0) {
      this.#switch(material, place);
      return;
    }
    log.info("the roots of the CA's new material are distributed before it signs", { place });
    const coming: Coming = { material, cancel: () => {} };
    this.#coming = coming;
    this.#update(authority.material);
    void this.#afterDistribution().then(() => {
      if (this.#coming !== coming) return;
      coming.cancel = clock.after(Math.min(waitMs, this.#shareOfLifeMs()), () => {
        if (this.#coming !== coming) return;
        this.#coming = undefined;
        this.#switchIfGood(material, place);
      });
    });
  }

  /** Roots (PEM) that are trusted besides those of the CA, in place of those named before. */
  trustAlso(roots: string): void {
    const readable = splitCertificates(roots).filter((pem) => notAfterMs(pem) > 0);
    const text = readable.join("");
    if (text === this.#configured) return;
    if (readable.length < splitCertificates(roots).length) {
      this.#options.log.warn("a certificate of meshConfig.caCertificates cannot be read, and is not trusted");
    }
    this.#configured = text;
    this.#update(this.#options.authority.material);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#coming?.cancel();
    this.#coming = undefined;
    this.#cancelRetirement();
  }

  /** How long workloads need until they trust the root; 0 for one that they have trusted long enough. */
  #waitFor(root: string): number {
    const { distributed, clock, settleMs = defaultSettleMs } = this.#options;
    if (distributed === undefined || this.#shareOfLifeMs() === 0) return 0;
    const since = this.#trustedSinceOf(root);
    return since === undefined ? settleMs : settleMs - (clock.now() - since);
  }

  /** A certificate of the same key and name that has not ended counts for it. */
  #trustedSinceOf(root: string): number | undefined {
    const { clock } = this.#options;
    const moments = [...this.#trustedSince].flatMap(([pem, since]) =>
      pem === root || (isRenewal(root, pem) && notAfterMs(pem) > clock.now()) ? [since] : [],
    );
    return moments.length === 0 ? undefined : Math.min(...moments);
  }

  /** A third of what the old issuer has left for each step, so that the new one signs before the old one ends. */
  #shareOfLifeMs(): number {
    const { authority, clock } = this.#options;
    return Math.max(0, Math.min(authority.issuer.notAfterMs, authority.root.notAfterMs) - clock.now()) / 3;
  }

  #afterDistribution(): Promise<void> {
    const { distributed, clock } = this.#options;
    return new Promise((resolve) => {
      const cancel = clock.after(Math.min(maxDistributionMs, this.#shareOfLifeMs()), resolve);
      distributed?.().then(() => {
        cancel();
        resolve();
      });
    });
  }

  #abandon(): void {
    if (this.#coming === undefined) return;
    this.#coming.cancel();
    this.#coming = undefined;
    this.#update(this.#options.authority.material);
  }

  #switchIfGood(material: AuthorityMaterial, place: string): void {
    try {
      this.#switch(material, place);
    } catch (error) {
      this.#options.log.error("the CA's new material cannot be used; the old one stays", {
        place,
        error: describeError(error),
      });
      this.#update(this.#options.authority.material);
    }
  }

  #switch(material: AuthorityMaterial, place: string): void {
    const { authority, clock, log, onSwitched } = this.#options;
    checkMaterial(material, clock.now());
    const next = rootsOf(material);
    const gone = rootsOf(authority.material).filter((root) => !next.includes(root));
    for (const root of next) this.#retired.delete(root);
    for (const root of gone) this.#retire(root, authority.latestNotAfterMs);
    this.#update(material);
    log.info("the CA uses new material", { place });
    if (gone.length > 0) log.info("the CA's root changed; the old one is trusted until what it signed has ended");
    onSwitched?.(place);
  }

  #retire(root: string, wantedUntilMs: number | undefined): void {
    const { authority, clock } = this.#options;
    const end = notAfterMs(root);
    const untilMs = Math.min(end, wantedUntilMs ?? authority.latestNotAfterMs);
    if (untilMs > clock.now()) this.#retired.set(root, untilMs);
  }

  /** Brings what is trusted, and what is remembered, up to date. */
  #update(material: AuthorityMaterial): void {
    const { authority, clock, memory, log } = this.#options;
    const nowMs = clock.now();
    for (const [root, untilMs] of this.#retired) if (untilMs <= nowMs) this.#retired.delete(root);
    const coming = this.#coming === undefined ? [] : rootsOf(this.#coming.material);
    const all = new Set([...rootsOf(material), ...coming, ...this.#retired.keys()]);
    for (const root of all) {
      if (!this.#trustedSince.has(root)) this.#trustedSince.set(root, this.#trustedSinceOf(root) ?? nowMs);
    }
    for (const root of this.#trustedSince.keys()) if (!all.has(root)) this.#trustedSince.delete(root);
    authority.replace(material, [this.#configured, ...coming, ...this.#retired.keys()].join(""));
    this.#scheduleRetirement();
    const roots = [...all].map((certificate) => {
      const untilMs = this.#retired.get(certificate);
      return { certificate, ...(untilMs !== undefined && { untilMs }) };
    });
    memory?.save(roots, nowMs).catch((error: unknown) => {
      log.warn("the roots could not be remembered for the next start", { error: describeError(error) });
    });
  }

  #scheduleRetirement(): void {
    this.#cancelRetirement();
    if (this.#retired.size === 0 || this.#isStopped) return;
    const { clock, authority } = this.#options;
    const nextMs = Math.min(...this.#retired.values()) - clock.now();
    this.#cancelRetirement = clock.after(Math.min(longestTimerMs, Math.max(1, nextMs)), () =>
      this.#update(authority.material),
    );
  }
}

function rootsOf(material: AuthorityMaterial): string[] {
  return splitCertificates(material.rootCertificates);
}

/** Whether two certificates (PEM) are of the same key and name; false for what cannot be read. */
function isRenewal(one: string, other: string): boolean {
  try {
    const [a, b] = [parseCertificate(one), parseCertificate(other)];
    return a.publicKeyInfo.equals(b.publicKeyInfo) && a.subject.equals(b.subject);
  } catch {
    return false;
  }
}

/** 0 for what cannot be read. */
function notAfterMs(pem: string): number {
  try {
    return parseCertificate(pem).notAfterMs;
  } catch {
    return 0;
  }
}
