// One repository of a registry by the OCI distribution specification: manifests and blobs, with the token that its
// authorization server gives. Everything is asked through the guard of what users name; secrets go to the registry and
// its authorization server over TLS, and in plain text to this machine and to registries that are named for it.
import { createHash } from "node:crypto";
import { describeError } from "#base/error.ts";
import { askGuarded, type GuardedResponse } from "#base/net/guarded-fetch.ts";
import { type Challenge, parseChallenges } from "./challenge.ts";
import { type ImageReference, registryHost } from "./image-reference.ts";
import type { RegistryCredentials } from "./pull-secret.ts";

export interface RegistryOptions {
  readonly isAllowed: (address: string) => boolean;
  /** Of a blob. */
  readonly maxBytes: number;
  readonly signal: AbortSignal;
  readonly credentials: RegistryCredentials;
  /** Its certificate is not looked at, and plain text may carry secrets. */
  readonly isInsecure: boolean;
}

/** Another try would find the same. */
export class RegistryRefusal extends Error {}

const manifestBytes = 4 * 1024 * 1024;
const tokenBytes = 1024 * 1024;

const manifestTypes = [
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
].join(", ");

export interface FetchedManifest {
  /** `sha256:…`, of what came. */
  readonly digest: string;
  readonly mediaType: string;
  readonly json: unknown;
}

export class RegistryClient {
  readonly #image: ImageReference;
  readonly #options: RegistryOptions;
  #scheme: "https" | "http" = "https";
  #authorization = "";

  constructor(image: ImageReference, options: RegistryOptions) {
    this.#image = image;
    this.#options = options;
  }

  /** By tag or digest; one that was asked for by digest has that digest. */
  async manifest(reference: string): Promise<FetchedManifest> {
    const { body, headers } = await this.#get(`manifests/${reference}`, manifestTypes, manifestBytes);
    const digest = digestOf(body);
    if (reference.startsWith("sha256:") && digest !== reference) {
      throw new RegistryRefusal(`the manifest ${reference} has the digest ${digest}`);
    }
    let json: unknown;
    try {
      json = JSON.parse(body.toString("utf8"));
    } catch {
      throw new RegistryRefusal(`the manifest ${reference} is not JSON`);
    }
    return { digest, mediaType: String(headers["content-type"] ?? "").split(";", 1)[0] ?? "", json };
  }

  async blob(digest: string): Promise<Buffer> {
    const { body } = await this.#get(`blobs/${digest}`, "*/*", this.#options.maxBytes);
    const found = digestOf(body);
    if (found !== digest) throw new RegistryRefusal(`the layer ${digest} has the digest ${found}`);
    return body;
  }

  async #get(path: string, accept: string, maxBytes: number): Promise<GuardedResponse> {
    const first = await this.#ask(path, accept, maxBytes);
    const response = first.status === 401 ? await this.#askWithAuthorization(first, path, accept, maxBytes) : first;
    const { status } = response;
    if (status === 200) return response;
    const problem = `${this.#url(path)} answers ${status}${explained(response)}`;
    // Too many requests, and what a server has to do with itself, may pass.
    throw status === 429 || status >= 500 ? new Error(problem) : new RegistryRefusal(problem);
  }

  async #ask(path: string, accept: string, maxBytes: number): Promise<GuardedResponse> {
    const { isAllowed, signal, isInsecure } = this.#options;
    const headers: Record<string, string> = this.#authorization === "" ? {} : { authorization: this.#authorization };
    const ask = (): Promise<GuardedResponse> =>
      askGuarded(this.#url(path), { isAllowed, maxBytes, signal, accept, headers, isInsecure });
    if (this.#scheme === "http") return ask();
    try {
      return await ask();
    } catch (error) {
      // A registry without TLS, as on one's own machine.
      if (!speaksPlaintext(error)) throw error;
      this.#scheme = "http";
      return ask();
    }
  }

  async #askWithAuthorization(
    refused: GuardedResponse,
    path: string,
    accept: string,
    maxBytes: number,
  ): Promise<GuardedResponse> {
    const challenges = parseChallenges(refused.headers["www-authenticate"] ?? "");
    this.#authorization = await this.#authorize(challenges);
    return this.#authorization === "" ? refused : this.#ask(path, accept, maxBytes);
  }

  /** Empty: there is nothing to say. */
  async #authorize(challenges: readonly Challenge[]): Promise<string> {
    const { basic, registryToken } = this.#options.credentials;
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    if (bearer !== undefined) {
      if (registryToken !== "") return this.#secret(`Bearer ${registryToken}`, this.#scheme);
      const token = `Bearer ${await this.#token(bearer)}`;
      // One that everybody gets is no secret.
      return this.#isAnonymous ? token : this.#secret(token, this.#scheme);
    }
    const asksForBasic = challenges.some(({ scheme }) => scheme === "basic");
    return asksForBasic && basic !== "" ? this.#secret(basicHeader(basic), this.#scheme) : "";
  }

  async #token({ parameters }: Challenge): Promise<string> {
    const { isAllowed, signal, isInsecure, credentials } = this.#options;
    const realm = parameters.get("realm") ?? "";
    if (!URL.canParse(realm)) throw new RegistryRefusal(`the registry names no authorization server: "${realm}"`);
    const url = new URL(realm);
    const isPlaintext = url.protocol !== "https:";
    if (isPlaintext && this.#scheme === "https") {
      throw new RegistryRefusal(`the authorization server ${realm} of a registry with TLS has none`);
    }
    const scope = parameters.get("scope") ?? `repository:${this.#image.repository}:pull`;
    const service = parameters.get("service") ?? "";
    const guard = { isAllowed, signal, isInsecure, accept: "application/json", maxBytes: tokenBytes };
    const { basic, identityToken } = credentials;
    const to = isPlaintext ? "http" : "https";
    let response: GuardedResponse;
    if (identityToken !== "") {
      const form = new URLSearchParams({
        grant_type: "refresh_token",
        refresh_token: this.#secret(identityToken, to, url.hostname),
        client_id: "outrigger",
        service,
        scope,
      });
      response = await askGuarded(url.href, { ...guard, form });
    } else {
      if (service !== "") url.searchParams.set("service", service);
      url.searchParams.set("scope", scope);
      const headers: Record<string, string> =
        basic === "" ? {} : { authorization: this.#secret(basicHeader(basic), to, url.hostname) };
      response = await askGuarded(url.href, { ...guard, headers });
    }
    const token = response.status === 200 ? tokenIn(response.body) : undefined;
    if (token !== undefined) return token;
    const problem = `the authorization server ${realm} answers ${response.status} and no token${explained(response)}`;
    throw response.status === 429 || response.status >= 500 ? new Error(problem) : new RegistryRefusal(problem);
  }

  get #isAnonymous(): boolean {
    const { basic, identityToken } = this.#options.credentials;
    return basic === "" && identityToken === "";
  }

  /** What must not be read on the way. */
  #secret(value: string, scheme: "https" | "http", host: string = this.#host()): string {
    if (scheme === "https" || this.#options.isInsecure || isThisMachine(host)) return value;
    throw new RegistryRefusal(`${host} has no TLS: no credentials are sent to it`);
  }

  #host(): string {
    return new URL(this.#url("")).hostname;
  }

  #url(path: string): string {
    return `${this.#scheme}://${registryHost(this.#image)}/v2/${this.#image.repository}/${path}`;
  }
}

function basicHeader(userAndPassword: string): string {
  return `Basic ${Buffer.from(userAndPassword).toString("base64")}`;
}

function tokenIn(body: Buffer): string | undefined {
  try {
    const { token, access_token: access } = JSON.parse(body.toString("utf8")) as Record<string, unknown>;
    const found = typeof token === "string" && token !== "" ? token : access;
    return typeof found === "string" && /^[\x21-\x7e]+$/.test(found) ? found : undefined;
  } catch {
    return undefined;
  }
}

/** Registries say why in JSON. */
function explained({ body }: GuardedResponse): string {
  try {
    const { errors } = JSON.parse(body.toString("utf8")) as { errors?: { code?: unknown; message?: unknown }[] };
    const [first] = errors ?? [];
    return first === undefined ? "" : `: ${String(first.code)} ${String(first.message ?? "")}`.trimEnd();
  } catch {
    return "";
  }
}

function isThisMachine(host: string): boolean {
  return host === "localhost" || host.startsWith("127.") || host === "[::1]";
}

function speaksPlaintext(error: unknown): boolean {
  return /wrong version number|packet length too long|http request|EPROTO/i.test(describeError(error));
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
