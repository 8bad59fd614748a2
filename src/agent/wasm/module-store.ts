// Wasm modules in files, from where the proxy reads them: fetched over HTTP(S) or out of images of registries, unpacked,
// checked, kept as long as a configuration names them. Named by content, so that two addresses of one module are one file.
import { createHash, randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzip } from "node:zlib";
import { describeError, OutriggerError } from "#base/error.ts";
import { fetchGuarded } from "#base/net/guarded-fetch.ts";
import type { Clock } from "#base/time/clock.ts";
import { imageManifest, moduleOf } from "./registry/image-module.ts";
import { parseImageReference } from "./registry/image-reference.ts";
import { readPullSecret } from "./registry/pull-secret.ts";
import { RegistryClient, RegistryRefusal } from "./registry/registry-client.ts";

export interface ModuleStoreOptions {
  /** Is made when the first module comes. */
  readonly folder: string;
  readonly clock: Clock;
  /** Whether an address may be asked. */
  readonly isAllowed: (address: string) => boolean;
  /** As Istio's ISTIO_WASM_MAX_BINARY_SIZE_BYTES. */
  readonly maxBytes?: number;
  readonly retries?: number;
  /** Registries whose certificates are not looked at, as Istio's WASM_INSECURE_REGISTRIES; `*` is all. */
  readonly insecureRegistries?: ReadonlySet<string>;
}

export interface ModuleSource {
  /** `https://…`, `http://…`, or `oci://…` for an image. */
  readonly url: string;
  /** Lower-case hexadecimal, of what the address gives, and of an image's manifest; empty checks nothing. */
  readonly sha256: string;
  readonly timeoutMs: number;
  /** Of an image. */
  readonly pull?: PullSettings;
}

export interface PullSettings {
  /** `Always` and `IfNotPresent`; anything else is the first for the tag latest, and the other for the rest. */
  readonly policy: string;
  /** With Always an image is asked for again when this is another one. */
  readonly version: string;
  /** Content of a Secret of type kubernetes.io/dockerconfigjson; empty: nobody's. */
  readonly secret: string;
}

const defaultMaxBytes = 256 * 1024 * 1024;
const defaultRetries = 4;
const firstPauseMs = 500;

export class ModuleStore {
  readonly #options: ModuleStoreOptions;
  /** Under way or there, by source. What failed is fetched again by the next one who asks. */
  readonly #files = new Map<string, Promise<string>>();
  readonly #used = new Map<string, ReadonlySet<string>>();
  /** Asked for, and nobody has said yet that it is used. */
  readonly #fresh = new Set<string>();
  /** Files by the digest of the image's manifest, so that a tag that still means the same is not fetched again. */
  readonly #fileByManifest = new Map<string, string>();

  constructor(options: ModuleStoreOptions) {
    this.#options = options;
  }

  /** The file of a module. Rejects with WASM_MODULE in words that name the address. */
  file(source: ModuleSource): Promise<string> {
    const key = keyOf(source);
    this.#fresh.add(key);
    let file = this.#files.get(key);
    if (file === undefined) {
      file = this.#fetch(source);
      this.#files.set(key, file);
      file.catch(() => {
        this.#files.delete(key);
        this.#fresh.delete(key);
      });
    }
    return file;
  }

  /** The sources that somebody uses from now on. Files of nobody's are removed, if that can be done. */
  async keep(user: string, sources: readonly ModuleSource[]): Promise<void> {
    for (const source of sources) this.#fresh.delete(keyOf(source));
    if (sources.length === 0) this.#used.delete(user);
    else this.#used.set(user, new Set(sources.map(keyOf)));
    const used = new Set([...this.#used.values()].flatMap((keys) => [...keys]));
    const gone = [...this.#files].filter(([key]) => !used.has(key) && !this.#fresh.has(key));
    for (const [key] of gone) this.#files.delete(key);
    const files = await Promise.allSettled(gone.map(([, file]) => file));
    const kept = new Set(await this.#paths());
    for (const file of files) {
      if (file.status === "rejected" || kept.has(file.value)) continue;
      // What stays goes with the folder.
      await rm(file.value, { force: true }).catch(() => {});
      for (const [digest, path] of this.#fileByManifest) if (path === file.value) this.#fileByManifest.delete(digest);
    }
  }

  /** Removes everything. */
  async stop(): Promise<void> {
    this.#files.clear();
    this.#fileByManifest.clear();
    await rm(this.#options.folder, { recursive: true, force: true });
  }

  async #paths(): Promise<string[]> {
    const files = await Promise.allSettled(this.#files.values());
    return files.flatMap((file) => (file.status === "fulfilled" ? [file.value] : []));
  }

  async #fetch(source: ModuleSource): Promise<string> {
    const { folder, retries = defaultRetries } = this.#options;
    for (let attempt = 0; ; attempt++) {
      try {
        return source.url.startsWith("oci://")
          ? await this.#pull(source)
          : await this.#write(await this.#attempt(source), folder);
      } catch (error) {
        const isFinal = error instanceof FinalError || error instanceof RegistryRefusal;
        if (attempt >= retries || isFinal) throw failed(source, error);
        await this.#pause(firstPauseMs * 2 ** attempt);
      }
    }
  }

  async #write(bytes: Buffer, folder: string): Promise<string> {
    if (bytes.subarray(0, 4).toString("latin1") !== "\0asm") throw new FinalError("it is no WebAssembly module");
    const path = join(folder, `${createHash("sha256").update(bytes).digest("hex")}.wasm`);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const part = `${path}.${randomUUID()}.part`;
    await writeFile(part, bytes, { mode: 0o600 });
    await rename(part, path);
    return path;
  }

  async #pull({ url, sha256, timeoutMs, pull }: ModuleSource): Promise<string> {
    const { isAllowed, folder, maxBytes = defaultMaxBytes, insecureRegistries: insecure } = this.#options;
    const image = parseImageReference(url);
    if (image === undefined) throw new FinalError("it is no name of an image");
    const credentials = readPullSecret(pull?.secret ?? "", image);
    if (typeof credentials === "string") throw new FinalError(credentials);
    const isInsecure = insecure?.has("*") === true || insecure?.has(image.registry) === true;
    const signal = AbortSignal.timeout(timeoutMs);
    const client = new RegistryClient(image, { isAllowed, maxBytes, signal, credentials, isInsecure });
    try {
      const manifest = await imageManifest(client, image);
      if (sha256 !== "" && !manifest.digests.includes(sha256)) {
        throw new FinalError(`the SHA-256 of its manifest is ${manifest.digests.at(-1)} and not ${sha256}`);
      }
      const digest = manifest.digests.at(-1) ?? "";
      const known = this.#fileByManifest.get(digest);
      // Who removes files waits for those that are asked for, this one too.
      if (known !== undefined && existsSync(known)) return known;
      const path = await this.#write(await moduleOf(client, manifest, maxBytes), folder);
      this.#fileByManifest.set(digest, path);
      return path;
    } catch (error) {
      throw signal.aborted ? new Error(`no whole answer within ${timeoutMs} ms`) : error;
    }
  }

  async #attempt({ url, sha256, timeoutMs }: ModuleSource): Promise<Buffer> {
    const { isAllowed, maxBytes = defaultMaxBytes } = this.#options;
    const signal = AbortSignal.timeout(timeoutMs);
    const body = await fetchGuarded(url, { isAllowed, maxBytes, signal, accept: "application/wasm, */*" }).catch(
      (error: unknown) => {
        throw signal.aborted ? new Error(`no whole answer within ${timeoutMs} ms`) : error;
      },
    );
    const found = createHash("sha256").update(body).digest("hex");
    if (sha256 !== "" && found !== sha256) throw new FinalError(`its SHA-256 is ${found} and not ${sha256}`);
    return unpacked(body, maxBytes);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#options.clock.after(ms, resolve));
  }
}

/** Another try would find the same. */
class FinalError extends Error {}

/** A module may come compressed. */
function unpacked(body: Buffer, maxBytes: number): Promise<Buffer> {
  if (body[0] !== 0x1f || body[1] !== 0x8b) return Promise.resolve(body);
  return new Promise((resolve, reject) => {
    gunzip(body, { maxOutputLength: maxBytes }, (error, bytes) => {
      if (error === null) resolve(bytes);
      else reject(new FinalError(`it cannot be unpacked: ${error.message}`));
    });
  });
}

function keyOf({ url, sha256, pull }: ModuleSource): string {
  return `${sha256} ${url}${pull !== undefined && pullsAgain(url, pull) ? ` ${pull.version}` : ""}`;
}

/** What a digest names never changes. */
function pullsAgain(url: string, { policy }: PullSettings): boolean {
  const image = parseImageReference(url);
  if (image === undefined || image.digest !== "" || policy === "IfNotPresent") return false;
  return policy === "Always" || image.tag === "latest";
}

function failed({ url }: ModuleSource, error: unknown): OutriggerError {
  return new OutriggerError("WASM_MODULE", `the module ${url} cannot be had: ${describeError(error)}`, {
    cause: error,
  });
}
