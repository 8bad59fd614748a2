// One HTTP conversation with a Kubernetes API server: over its Unix socket, or over TLS with the service account's
// token, read again when its file changes. Knows requests and answers, not objects.
import { readFileSync, statSync } from "node:fs";
import { Agent, type ClientRequest, type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps, Agent as TlsAgent } from "node:https";
import type { Duplex } from "node:stream";
import { OutriggerError } from "#base/error.ts";

export type ApiServerAddress =
  /** The embedded cluster's socket; who can open it is admin. */
  | { readonly socketPath: string }
  | {
      /** `https://10.96.0.1:443`. */
      readonly url: string;
      /** File with the CA's certificates, or the PEM itself. */
      readonly caFile?: string;
      readonly ca?: string;
      /** File with a bearer token, read again when it changes; or the token itself. */
      readonly tokenFile?: string;
      readonly token?: string;
    };

export interface ApiRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Path and query, from the leading slash. */
  readonly path: string;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly signal?: AbortSignal;
}

export interface ApiResponse {
  readonly status: number;
  readonly body: string;
}

/** Answers above this are refused: a list of 5,000 pods has some 50 MB. */
const maxResponseBytes = 512 * 1024 * 1024;
const requestTimeoutMs = 30_000;

/** The address inside a pod, from its environment and the service account's mounted files. */
export function inClusterAddress(
  host: string,
  port: string,
  folder = "/var/run/secrets/kubernetes.io/serviceaccount",
): ApiServerAddress {
  const name = host.includes(":") ? `[${host}]` : host;
  return { url: `https://${name}:${port}`, caFile: `${folder}/ca.crt`, tokenFile: `${folder}/token` };
}

export class ApiConnection {
  readonly #address: ApiServerAddress;
  readonly #agent: Agent | TlsAgent;
  readonly #ca: string | undefined;
  #token: { readonly value: string; readonly modifiedMs: number } | undefined;

  constructor(address: ApiServerAddress) {
    this.#address = address;
    this.#ca = "socketPath" in address ? undefined : (address.ca ?? readFileText(address.caFile));
    const pooled = { keepAlive: true, maxSockets: 16, maxFreeSockets: 4 };
    this.#agent = "socketPath" in address ? new Agent(pooled) : new TlsAgent(pooled);
  }

  /** Sends a request and reads the whole answer. Throws API_UNREACHABLE when there is none. */
  async send(request: ApiRequest): Promise<ApiResponse> {
    const response = await this.open(request, requestTimeoutMs);
    const chunks: Buffer[] = [];
    let size = 0;
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) {
        size += chunk.length;
        if (size > maxResponseBytes) throw new OutriggerError("API_ERROR", `${request.path}: the answer is too large`);
        chunks.push(chunk);
      }
    } catch (cause) {
      throw this.#unreachable(request, cause);
    }
    return { status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString("utf8") };
  }

  /** Sends a request and hands over the answer as a stream. With `idleTimeoutMs` 0 it may stay silent for ever. */
  open(request: ApiRequest, idleTimeoutMs = 0): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const body = request.body === undefined ? undefined : Buffer.from(JSON.stringify(request.body));
      let outgoing: ClientRequest;
      try {
        const headers = {
          accept: "application/json",
          ...(body !== undefined && {
            "content-type": request.contentType ?? "application/json",
            "content-length": String(body.length),
          }),
        };
        // A stream that stays open (a watch, a log) has a connection of its own: it would keep one of the pool for ever.
        outgoing = this.#request(request, headers, idleTimeoutMs > 0);
      } catch (cause) {
        reject(this.#unreachable(request, cause));
        return;
      }
      outgoing.once("response", resolve);
      outgoing.once("error", (cause) => reject(this.#unreachable(request, cause)));
      if (idleTimeoutMs > 0) {
        outgoing.setTimeout(idleTimeoutMs, () => outgoing.destroy(new Error(`no answer within ${idleTimeoutMs} ms`)));
      }
      outgoing.end(body);
    });
  }

  /** Asks for another protocol on the connection (port-forward, attach) and hands over its two directions. */
  upgrade(path: string, protocol: string): Promise<Duplex> {
    return new Promise((resolve, reject) => {
      const request = { method: "GET", path } as const;
      const outgoing = this.#request(request, { connection: "Upgrade", upgrade: protocol }, false);
      outgoing.once("upgrade", (_response, socket: Duplex, head: Buffer) => {
        if (head.length > 0) socket.unshift(head);
        resolve(socket);
      });
      outgoing.once("response", (response) => {
        response.resume();
        reject(new OutriggerError("API_ERROR", `GET ${path}: ${response.statusCode} instead of an upgrade`));
      });
      outgoing.once("error", (cause) => reject(this.#unreachable(request, cause)));
      outgoing.end();
    });
  }

  close(): void {
    this.#agent.destroy();
  }

  #request(request: ApiRequest, headers: Record<string, string>, isPooled: boolean): ClientRequest {
    const options = {
      method: request.method,
      path: request.path,
      agent: isPooled ? this.#agent : false,
      ...(request.signal !== undefined && { signal: request.signal }),
    };
    const address = this.#address;
    if ("socketPath" in address) {
      return requestHttp({ ...options, socketPath: address.socketPath, headers: { host: "localhost", ...headers } });
    }
    const token = this.#readToken();
    const url = new URL(address.url);
    return requestHttps({
      ...options,
      host: url.hostname.replace(/^\[|\]$/g, ""),
      port: url.port === "" ? 443 : Number(url.port),
      ...(this.#ca !== undefined && { ca: this.#ca }),
      headers: { ...headers, ...(token !== undefined && { authorization: `Bearer ${token}` }) },
    });
  }

  #readToken(): string | undefined {
    if ("socketPath" in this.#address) return undefined;
    const { token, tokenFile } = this.#address;
    if (tokenFile === undefined) return token;
    const modifiedMs = statSync(tokenFile).mtimeMs;
    if (this.#token?.modifiedMs !== modifiedMs) {
      this.#token = { value: readFileSync(tokenFile, "utf8").trim(), modifiedMs };
    }
    return this.#token.value;
  }

  #unreachable(request: ApiRequest, cause: unknown): OutriggerError {
    if (cause instanceof OutriggerError) return cause;
    const address = "socketPath" in this.#address ? this.#address.socketPath : this.#address.url;
    return new OutriggerError("API_UNREACHABLE", `${request.method} ${request.path}: no answer from ${address}`, {
      cause,
    });
  }
}

function readFileText(path: string | undefined): string | undefined {
  return path === undefined ? undefined : readFileSync(path, "utf8");
}
