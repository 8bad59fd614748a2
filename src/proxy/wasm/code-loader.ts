// From where code lies to a compiled module: read or fetched, checked, rewritten within limits, compiled once for each
// content. Files and inline code are read again for each configuration; remote code is kept by its hash.
import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { LRUCache } from "lru-cache";
import { OutriggerError } from "#base/error.ts";
import type { Clock } from "#base/time/clock.ts";
import type { Counter, Stats } from "../stats/stats.ts";
import { prepareModule } from "./binary/prepare-module.ts";
import { type EngineModule, engine } from "./engine.ts";
import type { HttpCallResponse, HttpCalls } from "./http-calls.ts";
import type { WasmLimits } from "./limits.ts";
import type { WasmCode } from "./plugin-config.ts";

export interface LoadedCode {
  readonly module: EngineModule;
  readonly sha256: string;
}

export interface CodeLoaderOptions {
  readonly calls: HttpCalls;
  readonly clock: Clock;
  readonly random: () => number;
  readonly stats: Stats;
  readonly limits: WasmLimits;
}

type RemoteCode = Extract<WasmCode, { type: "remote" }>;

/** Compiled modules that are kept for the next configuration or reload. */
const keptModules = 64;

export class CodeLoader {
  readonly #options: CodeLoaderOptions;
  readonly #modules = new LRUCache<string, Promise<EngineModule>>({ max: keptModules });
  readonly #hits: Counter;
  readonly #misses: Counter;
  readonly #fetched: Counter;
  readonly #failed: Counter;

  constructor(options: CodeLoaderOptions) {
    this.#options = options;
    const { stats } = options;
    this.#hits = stats.counter("wasm.remote_load_cache_hits");
    this.#misses = stats.counter("wasm.remote_load_cache_misses");
    this.#fetched = stats.counter("wasm.remote_load_fetch_successes");
    this.#failed = stats.counter("wasm.remote_load_fetch_failures");
  }

  /** Throws WASM_LOAD when there is no such code or it can't be used. */
  async load(code: WasmCode): Promise<LoadedCode> {
    if (code.type === "remote") {
      const known = this.#modules.get(code.sha256);
      if (known !== undefined) {
        this.#hits.add();
        return { module: await known, sha256: code.sha256 };
      }
      this.#misses.add();
      const compiled = this.#fetch(code).then((bytes) => this.#compile(bytes, code.uri));
      return { module: await this.#keep(code.sha256, compiled), sha256: code.sha256 };
    }
    const bytes = code.type === "inline" ? code.bytes : await this.#read(code.path);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    const what = code.type === "inline" ? "the inline code" : code.path;
    const module = this.#modules.get(sha256) ?? this.#keep(sha256, this.#compile(bytes, what));
    return { module: await module, sha256 };
  }

  /** Everybody who asks meanwhile waits for the same promise; what failed is tried again by the next one. */
  #keep(sha256: string, compiled: Promise<EngineModule>): Promise<EngineModule> {
    this.#modules.set(sha256, compiled);
    compiled.catch(() => {
      if (this.#modules.peek(sha256) === compiled) this.#modules.delete(sha256);
    });
    return compiled;
  }

  async #read(path: string): Promise<Uint8Array> {
    try {
      const { size } = await stat(path);
      if (size > this.#options.limits.maxModuleBytes) throw loadError(path, `it has ${size} bytes, which is too much`);
      return await readFile(path);
    } catch (error) {
      throw error instanceof OutriggerError ? error : loadError(path, "it can't be read", error);
    }
  }

  async #compile(bytes: Uint8Array, what: string): Promise<EngineModule> {
    const prepared = prepareModule(bytes, this.#options.limits);
    if (prepared.bytes === null) throw loadError(what, prepared.problem);
    try {
      return await engine.compile(prepared.bytes);
    } catch (error) {
      throw loadError(what, "it is not valid WebAssembly", error);
    }
  }

  async #fetch(code: RemoteCode): Promise<Buffer> {
    for (let attempt = 0; ; attempt++) {
      const answer = await this.#attempt(code);
      if (Buffer.isBuffer(answer)) {
        this.#fetched.add();
        return answer;
      }
      if (attempt >= code.retries) {
        this.#failed.add();
        throw loadError(code.uri, answer);
      }
      await this.#pause(code, attempt);
    }
  }

  /** The code, or why it is not there. */
  async #attempt(code: RemoteCode): Promise<Buffer | string> {
    const { calls, limits } = this.#options;
    if (!calls.hasCluster(code.cluster)) return `the cluster "${code.cluster}" does not exist`;
    const { host, pathname, search, protocol } = new URL(code.uri);
    const response = await new Promise<HttpCallResponse | null>((resolve) => {
      calls.send(
        {
          cluster: code.cluster,
          headers: [
            [":method", "GET"],
            [":path", `${pathname}${search}`],
            [":authority", host],
            [":scheme", protocol.slice(0, -1)],
          ],
          body: Buffer.alloc(0),
          trailers: [],
          timeoutMs: code.timeoutMs,
          maxResponseBytes: limits.maxModuleBytes,
        },
        resolve,
      );
    });
    if (response === null) return `there was no answer within ${code.timeoutMs} ms`;
    const status = response.headers.find(([name]) => name === ":status")?.[1];
    if (status !== "200") return `the answer was ${status}`;
    const sha256 = createHash("sha256").update(response.body).digest("hex");
    return sha256 === code.sha256 ? response.body : `its SHA-256 is ${sha256} and not ${code.sha256}`;
  }

  #pause({ backoffBaseMs, backoffMaxMs }: RemoteCode, attempt: number): Promise<void> {
    const { clock, random } = this.#options;
    const delay = Math.min(backoffMaxMs, random() * backoffBaseMs * 2 ** attempt);
    return new Promise((resolve) => void clock.after(delay, resolve));
  }
}

function loadError(what: string, words: string, cause?: unknown): OutriggerError {
  return new OutriggerError("WASM_LOAD", `${what}: ${words}`, cause === undefined ? {} : { cause });
}
