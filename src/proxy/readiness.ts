// When a proxy is ready.
import type { SecretStore } from "#wire/tls/secrets.ts";
import type { Configuration } from "./xds/configuration.ts";

/** Secrets of the workload itself; those that a gateway's user names may be missing without making the proxy useless. */
const workloadSecrets = new Set(["default", "ROOTCA"]);

/** The proxy is ready when its first configuration runs and the workload's own secrets are there; once is enough. */
export class Readiness {
  readonly #configuration: Configuration;
  readonly #secrets: SecretStore;
  #isReached = false;

  constructor(configuration: Configuration, secrets: SecretStore) {
    this.#configuration = configuration;
    this.#secrets = secrets;
  }

  isReached(): boolean {
    this.#isReached ||= this.#configuration.isReady && !this.#isSecretMissing();
    return this.#isReached;
  }

  #isSecretMissing(): boolean {
    for (const listener of this.#configuration.view().listeners.values()) {
      for (const { tls } of listener.filterChains) {
        if (tls === null) continue;
        const certificate = tls.certificateNames.find((name) => workloadSecrets.has(name));
        if (certificate !== undefined && this.#secrets.certificate(certificate) === undefined) return true;
        if (tls.validationName === "ROOTCA" && this.#secrets.trustedRoots("ROOTCA") === undefined) return true;
      }
    }
    return false;
  }
}
