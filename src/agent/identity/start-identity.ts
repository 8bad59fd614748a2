// Keeps the workload's identity: makes a key in memory, has it certified, renews at half life, and fills the secrets
// `default` and `ROOTCA` that the proxy reads. Nothing is written to disk.
// States: no certificate → valid → (renewal fails, retried with back-off) → valid | expired. An expired certificate
// stays in place, because connections fail either way, but it is logged and shows in a metric until it is replaced.
import { describeError } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import type { MetricRegistry } from "#base/metrics/registry.ts";
import { Backoff } from "#base/time/backoff.ts";
import { type Clock, systemClock } from "#base/time/clock.ts";
import type { SecretStore } from "#wire/tls/secrets.ts";
import { buildCertificateRequest } from "#wire/x509/certificate-request.ts";
import { mergeCertificates } from "#wire/x509/pem.ts";
import { readAnswer } from "./certificate-answer.ts";
import { CertificateClient } from "./certificate-client.ts";
import { exposeCertificateExpiry } from "./certificate-expiry.ts";
import { readRevocations, readRoots, readToken, watchFile } from "./identity-files.ts";
import { defaultKeyKind, type KeyKind, makeKey } from "./key-kind.ts";
import { defaultRenewal, type RenewalSettings, renewalTime, retryLimits } from "./renewal.ts";

export interface IdentityOptions {
  /** `host:port` of a certificate service. */
  readonly caAddress: string;
  /** Name in the service's certificate, where it differs from the host. */
  readonly caServerName?: string;
  readonly rootsPath: string;
  /** Revocation lists of the mesh's CA; a file that is not there says that there are none. */
  readonly revocationsPath?: string;
  readonly tokenPath: string;
  /** Further trusted roots, PEM. */
  readonly extraRoots?: readonly string[];
  readonly clusterId: string;
  readonly certSigner?: string;
  /** What the request asks to be named; the service decides by the token. */
  readonly spiffeId: string;
  readonly ttlMs: number;
  readonly keyKind?: KeyKind;
  readonly renewal?: RenewalSettings;
  readonly secrets: SecretStore;
  readonly logger: Logger;
  readonly metrics: MetricRegistry;
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly requestTimeoutMs?: number;
}

export interface Identity extends Running {
  /** Settles with the first certificate; never rejects. */
  readonly ready: Promise<void>;
  /** Renews now; the promise settles when the attempt has ended, and tells whether it gave a certificate. */
  renew(): Promise<boolean>;
}

export const certificateName = "default";
export const rootsName = "ROOTCA";

/** Timers hold less than 25 days; a longer wait is cut into pieces. */
const longestTimerMs = 6 * 3600 * 1000;

/** Starts at once and goes on trying; it does not wait for the certificate service. */
export async function startIdentity(options: IdentityOptions): Promise<Identity> {
  const keeper = new IdentityKeeper(options);
  await keeper.start();
  return keeper;
}

class IdentityKeeper implements Identity {
  readonly ready: Promise<void>;
  readonly #options: IdentityOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #client: CertificateClient;
  readonly #backoff: Backoff;
  readonly #becomeReady: () => void;
  #mountedRoots = "";
  #chainRoots = "";
  #revocations: string | undefined;
  #cancelTimer: () => void = () => {};
  #cancelExpiry: () => void = () => {};
  #stopWatching: () => void = () => {};
  #stopWatchingRevocations: () => void = () => {};
  #stopCollecting: () => void = () => {};
  #attempt: Promise<boolean> | undefined;
  #stopped = false;

  constructor(options: IdentityOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#client = new CertificateClient({
      address: options.caAddress,
      clusterId: options.clusterId,
      ...(options.certSigner !== undefined && { certSigner: options.certSigner }),
      timeoutMs: options.requestTimeoutMs ?? 10_000,
      ...(options.caServerName !== undefined && { serverName: options.caServerName }),
    });
    this.#backoff = new Backoff({ ...retryLimits(options.ttlMs), random: this.#random });
    const ready = Promise.withResolvers<void>();
    this.ready = ready.promise;
    this.#becomeReady = () => ready.resolve();
  }

  async start(): Promise<void> {
    const { metrics, secrets } = this.#options;
    this.#stopCollecting = exposeCertificateExpiry(metrics, secrets, this.#clock);
    this.#stopWatching = watchFile(this.#options.rootsPath, () => void this.#reloadRoots());
    const { revocationsPath = "" } = this.#options;
    if (revocationsPath !== "") {
      this.#stopWatchingRevocations = watchFile(revocationsPath, () => void this.#reloadRevocations());
    }
    await this.#reloadRevocations();
    await this.#reloadRoots();
    void this.renew();
  }

  renew(): Promise<boolean> {
    this.#attempt ??= this.#renewOnce().then((renewed) => {
      this.#attempt = undefined;
      if (renewed) this.#becomeReady();
      return renewed;
    });
    return this.#attempt;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer();
    this.#cancelExpiry();
    this.#stopWatching();
    this.#stopWatchingRevocations();
    this.#stopCollecting();
    this.#client.close();
    await this.#attempt;
  }

  async #renewOnce(): Promise<boolean> {
    if (this.#stopped) return false;
    this.#cancelTimer();
    const { logger, metrics } = this.#options;
    metrics
      .counter("istio_agent_num_outgoing_requests", "Requests to the certificate service.", ["request_type"])
      .labels("csr")
      .increment();
    try {
      await this.#obtain();
      this.#backoff.reset();
      return true;
    } catch (error) {
      if (this.#stopped) return false;
      metrics
        .counter("istio_agent_num_failed_outgoing_requests", "Failed requests to the certificate service.", [
          "request_type",
        ])
        .labels("csr")
        .increment();
      const delay = this.#backoff.next();
      logger.warn(`no new certificate, next try in ${Math.round(delay)} ms: ${describeError(error)}`);
      this.#cancelTimer = this.#clock.after(delay, () => {
        metrics
          .counter("istio_agent_num_outgoing_retries", "Requests to the certificate service that were made again.", [
            "request_type",
          ])
          .labels("csr")
          .increment();
        void this.renew();
      });
      return false;
    }
  }

  async #obtain(): Promise<void> {
    const { spiffeId, ttlMs, tokenPath, secrets, logger } = this.#options;
    await this.#reloadRoots(true);
    const token = await readToken(tokenPath);
    const privateKey = await makeKey(this.#options.keyKind ?? defaultKeyKind);
    const chain = await this.#client.sign({
      csr: buildCertificateRequest(privateKey, { uris: [spiffeId] }),
      ttlSeconds: Math.ceil(ttlMs / 1000),
      token,
      roots: this.#mountedRoots,
    });
    if (this.#stopped) return;
    const now = this.#clock.now();
    const { certificate, roots } = readAnswer(chain, privateKey, now);
    if (certificate.spiffeId !== spiffeId) {
      logger.warn(`the certificate names ${certificate.spiffeId ?? "nobody"}, this pod expected ${spiffeId}`);
    }
    // Roots first: whoever sees the new certificate must be able to verify peers that have one, too.
    this.#chainRoots = roots;
    this.#publishRoots();
    secrets.setCertificate(certificateName, certificate);
    logger.info("new certificate", {
      spiffeId: certificate.spiffeId,
      serial: certificate.serialNumber,
      expires: new Date(certificate.notAfterMs).toISOString(),
    });
    const renewal = this.#options.renewal ?? defaultRenewal;
    this.#schedule(renewalTime(now, certificate.notAfterMs, this.#random(), renewal), certificate.notAfterMs);
  }

  #schedule(renewAtMs: number, notAfterMs: number): void {
    const now = this.#clock.now();
    this.#cancelTimer();
    this.#cancelTimer = this.#clock.after(Math.min(longestTimerMs, Math.max(0, renewAtMs - now)), () => {
      if (this.#clock.now() >= renewAtMs) void this.renew();
      else this.#schedule(renewAtMs, notAfterMs);
    });
    this.#watchExpiry(notAfterMs);
  }

  #watchExpiry(notAfterMs: number): void {
    const remaining = Math.max(0, notAfterMs - this.#clock.now());
    this.#cancelExpiry();
    this.#cancelExpiry = this.#clock.after(Math.min(longestTimerMs, remaining), () => {
      if (this.#clock.now() >= notAfterMs) this.#reportExpiry(notAfterMs);
      else this.#watchExpiry(notAfterMs);
    });
  }

  #reportExpiry(notAfterMs: number): void {
    const { metrics, logger } = this.#options;
    metrics
      .counter("outrigger_agent_certificate_expired_total", "Certificates that expired before they were renewed.")
      .labels()
      .increment();
    logger.error(
      `the certificate expired at ${new Date(notAfterMs).toISOString()} and could not be renewed; peers refuse this pod`,
    );
  }

  /** Reads the mounted roots; a failure keeps those of before, or is thrown when asked for. */
  async #reloadRoots(demand = false): Promise<void> {
    try {
      this.#mountedRoots = await readRoots(this.#options.rootsPath);
      if (!this.#stopped) this.#publishRoots();
    } catch (error) {
      if (demand && this.#mountedRoots === "") throw error;
      this.#options.logger.warn(describeError(error));
    }
  }

  /** Lists that cannot be read leave those of before. */
  async #reloadRevocations(): Promise<void> {
    try {
      const lists = await readRevocations(this.#options.revocationsPath ?? "");
      if (lists === this.#revocations || this.#stopped) return;
      this.#revocations = lists;
      this.#options.logger.info(lists === undefined ? "no certificate is revoked" : "revocation lists are in force");
      this.#publishRoots();
    } catch (error) {
      this.#options.logger.warn(`the revocation lists of before stay: ${describeError(error)}`);
    }
  }

  #publishRoots(): void {
    const bundle = mergeCertificates([this.#chainRoots, this.#mountedRoots, ...(this.#options.extraRoots ?? [])]);
    if (bundle !== "") this.#options.secrets.setTrustedRoots(rootsName, bundle, this.#revocations);
  }
}
