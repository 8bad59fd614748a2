// Certificates that are named by files in the proxy's own container, as Istio's agent serves them:
//   file-cert:CHAIN~KEY   a certificate with its key
//   file-root:ROOTS       trusted roots
//   file-crl:LISTS        revocation lists
// Files are read when the configuration names them and again when something changes in their directories; one that
// cannot be read leaves what was there before.
import { existsSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { describeError } from "#base/error.ts";
import { DirectoryWatcher } from "#base/files/directory-watcher.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";
import { readTlsCertificate } from "#wire/tls/read-certificate.ts";
import type { SecretStore } from "#wire/tls/secrets.ts";

export interface FileSecretsOptions {
  readonly secrets: SecretStore;
  readonly log: Logger;
  readonly clock: Clock;
}

export class FileSecrets implements Running {
  readonly #options: FileSecretsOptions;
  readonly #watcher: DirectoryWatcher;
  readonly #unsubscribe: () => void;
  /** What was last wrong, so that it is said once. */
  readonly #problems = new Map<string, string | undefined>();
  /** Names that are filled from files. */
  readonly #filled = new Set<string>();

  constructor(options: FileSecretsOptions) {
    const { secrets, log, clock } = options;
    this.#options = options;
    this.#watcher = new DirectoryWatcher({
      clock,
      onChange: () => this.#follow(),
      onProblem: (directory, error) =>
        log.warn("a directory of certificates is not watched", { directory, error: describeError(error) }),
    });
    this.#unsubscribe = secrets.onWanted(() => this.#follow());
    this.#follow();
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    await this.#watcher.stop();
  }

  #follow(): void {
    this.#read();
    const names = this.#names();
    for (const name of this.#filled) {
      if (names.includes(name)) continue;
      this.#filled.delete(name);
      this.#options.secrets.remove(name);
    }
    this.#watcher.follow(new Set(names.flatMap((name) => filesOf(name).map(watchable))));
  }

  #names(): string[] {
    return [...this.#options.secrets.wanted].filter((name) => filesOf(name).length > 0);
  }

  #read(): void {
    for (const name of this.#names()) {
      let problem: string | undefined;
      try {
        problem = this.#fill(name);
      } catch (error) {
        problem = describeError(error);
      }
      if (problem === undefined) this.#filled.add(name);
      if (problem !== this.#problems.get(name) && problem !== undefined) {
        this.#options.log.warn("a certificate cannot be read", { name, problem });
      }
      this.#problems.set(name, problem);
    }
  }

  /** Says what is wrong with the content; throws when a file is not readable. */
  #fill(name: string): string | undefined {
    const { secrets } = this.#options;
    const [first = "", second = ""] = filesOf(name).map((path) => readFileSync(path, "utf8"));
    if (name.startsWith("file-root:")) secrets.setTrustedRoots(name, first);
    else if (name.startsWith("file-crl:")) secrets.setRevocationList(name, first);
    else {
      const known = secrets.certificate(name);
      if (known?.certificateChain === first && known.privateKey === second) return undefined;
      const certificate = readTlsCertificate(first, second);
      if (typeof certificate === "string") return `it ${certificate}`;
      secrets.setCertificate(name, certificate);
    }
    return undefined;
  }
}

/** The directory of a file, or the one in which the first that is missing will appear. */
function watchable(path: string): string {
  let directory = dirname(path);
  while (!existsSync(directory) && dirname(directory) !== directory) directory = dirname(directory);
  return directory;
}

/** Empty for names of other secrets. */
function filesOf(name: string): string[] {
  const match = /^file-(?:cert:(.+)~(.+)|root:(.+)|crl:(.+))$/.exec(name);
  return match === null ? [] : match.slice(1).filter((path) => path !== undefined && path !== "");
}
