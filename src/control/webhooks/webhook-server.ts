// The HTTPS server that API servers call: `/inject...` and `/validate`. Bounded in body size and time; its certificate
// is replaced without a restart.

import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import { describeError } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import { isTooDeep, maxObjectDepth } from "#mesh/objects/depth.ts";
import { type BoundAddress, listenOn } from "../bind.ts";
import type { ServingCertificate } from "../ca/authority.ts";
import { type AdmissionAnswer, type AdmissionRequest, readReview, writeReview } from "./admission-review.ts";
import type { InjectHandler } from "./inject.ts";
import type { ValidateHandler } from "./validate.ts";

export interface WebhookServerOptions {
  readonly host: string;
  readonly port: number;
  readonly certificate: ServingCertificate;
  readonly inject: InjectHandler;
  readonly validate: ValidateHandler;
  readonly log: Logger;
}

/** The API server sends at most 3 MiB of object, twice for updates. */
const maxBodyBytes = 8 * 1024 * 1024;
const requestTimeoutMs = 15_000;

export class WebhookServer implements Running {
  readonly #options: WebhookServerOptions;
  readonly #server: Server;

  constructor(options: WebhookServerOptions) {
    this.#options = options;
    this.#server = createServer({ ...tlsContext(options.certificate), minVersion: "TLSv1.2" }, (request, response) => {
      this.#serve(request, response).catch((error: unknown) => {
        options.log.error("admission request failed", { path: request.url, error: describeError(error) });
        reply(response, 500, "text/plain", "internal error\n");
      });
    });
    this.#server.requestTimeout = requestTimeoutMs;
    this.#server.headersTimeout = requestTimeoutMs;
    this.#server.maxHeadersCount = 100;
  }

  listen(): Promise<BoundAddress> {
    return listenOn(this.#server, this.#options.host, this.#options.port);
  }

  /** Takes effect for new connections. */
  updateCertificate(certificate: ServingCertificate): void {
    this.#server.setSecureContext(tlsContext(certificate));
  }

  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? "/").split("?")[0] ?? "/";
    if (path === "/ready" || path === "/httpsReady") return reply(response, 200, "text/plain", "ready\n");
    const handler = this.#handlerFor(path);
    if (handler === undefined) return reply(response, 404, "text/plain", "not found\n");
    if (request.method !== "POST") return reply(response, 405, "text/plain", "POST only\n");
    const body = await readBody(request);
    if (body === undefined) return reply(response, 413, "text/plain", `more than ${maxBodyBytes} bytes\n`);
    const review = readReview(body);
    if (typeof review === "string") return reply(response, 400, "text/plain", `${review}\n`);
    const answer = isTooDeep(review.object) ? tooDeep : await handler(review);
    this.#log(path, review, answer);
    reply(response, 200, "application/json", writeReview(review.uid, answer));
  }

  #handlerFor(path: string): ((request: AdmissionRequest) => Promise<AdmissionAnswer>) | undefined {
    const { inject, validate } = this.#options;
    if (path === "/inject" || path.startsWith("/inject/")) return (request) => inject(request, path);
    return path === "/validate" ? validate : undefined;
  }

  #log(path: string, review: AdmissionRequest, answer: AdmissionAnswer): void {
    const fields = { path, kind: review.kind.kind, namespace: review.namespace, name: review.name };
    if (!answer.allowed) this.#options.log.warn("admission refused", { ...fields, reason: answer.message });
    else this.#options.log.debug("admission answered", { ...fields, patched: answer.patch !== undefined });
  }
}

const tooDeep: AdmissionAnswer = {
  allowed: false,
  code: 422,
  message: `the object is nested deeper than ${maxObjectDepth} levels`,
};

async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBodyBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function reply(response: ServerResponse, code: number, type: string, body: string): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(code, { "content-type": type, "content-length": Buffer.byteLength(body) });
  response.end(body);
}

function tlsContext(certificate: ServingCertificate): { cert: string; key: string } {
  return { cert: certificate.certificateChain, key: certificate.privateKey };
}
