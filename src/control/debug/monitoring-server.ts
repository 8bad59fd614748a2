// HTTP for operators: /metrics, /version, /ready, and /debug for callers on this machine or with a token of the control
// plane's own namespace.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { describeError } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import { type MetricRegistry, textContentType } from "#base/metrics/registry.ts";
import { type BoundAddress, listenOn } from "../bind.ts";
import type { TokenVerifier } from "../ca/token-review.ts";
import type { DebugState } from "./answer.ts";
import { answerDebug } from "./debug-endpoints.ts";

export interface MonitoringOptions {
  readonly metrics: MetricRegistry;
  readonly version: string;
  readonly debug: DebugState;
  readonly isReady: () => boolean;
  readonly tokens: TokenVerifier | undefined;
  readonly rootNamespace: string;
  readonly log: Logger;
}

export class MonitoringServer implements Running {
  readonly #options: MonitoringOptions;
  readonly #servers: Server[] = [];

  constructor(options: MonitoringOptions) {
    this.#options = options;
  }

  /** May be called for several ports: 15014 and 8080 answer the same. */
  listen(host: string, port: number): Promise<BoundAddress> {
    const server = createServer((request, response) => {
      this.#serve(request, response).catch((error: unknown) => {
        this.#options.log.error("monitoring request failed", { path: request.url, error: describeError(error) });
        reply(response, 500, "text/plain", "internal error\n");
      });
    });
    server.requestTimeout = 15_000;
    server.headersTimeout = 10_000;
    this.#servers.push(server);
    return listenOn(server, host, port);
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.#servers.map((server) => {
        const closed = new Promise<void>((resolve) => {
          server.close(() => resolve());
        });
        server.closeAllConnections();
        return closed;
      }),
    );
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.resume();
    const url = new URL(request.url ?? "/", "http://localhost");
    if (request.method !== "GET" && request.method !== "HEAD") return reply(response, 405, "text/plain", "GET only\n");
    const { metrics, version, isReady } = this.#options;
    switch (url.pathname) {
      case "/metrics":
        return reply(response, 200, textContentType, metrics.expose());
      case "/version":
        return reply(response, 200, "text/plain", `${version}\n`);
      case "/ready":
        return isReady()
          ? reply(response, 200, "text/plain", "ready\n")
          : reply(response, 503, "text/plain", "configuration is not read yet\n");
    }
    if (url.pathname !== "/debug" && !url.pathname.startsWith("/debug/")) {
      return reply(response, 404, "text/plain", "not found\n");
    }
    const refused = await this.#refusal(request);
    if (refused !== undefined) return reply(response, 401, "text/plain", `${refused}\n`);
    const name = url.pathname.replace(/^\/debug\/?/, "");
    const answer = await answerDebug(name, url.searchParams, this.#options.debug);
    if ("json" in answer) return reply(response, 200, "application/json", JSON.stringify(answer.json, jsonValue));
    reply(response, answer.code, "text/plain", `${answer.message}\n`);
  }

  /** Debug output shows the whole mesh: only this machine and the control plane's own namespace may see it. */
  async #refusal(request: IncomingMessage): Promise<string | undefined> {
    if (isLoopback(request.socket.remoteAddress ?? "")) return undefined;
    const token = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? "")?.[1];
    if (token === undefined) return "a bearer token is needed from another machine";
    const { tokens, rootNamespace } = this.#options;
    if (tokens === undefined) return "tokens are not accepted: there is no API server to ask";
    const verdict = await tokens.verify(token, ["istio-ca"]);
    if ("refused" in verdict) return verdict.refused;
    return verdict.identity.namespace === rootNamespace ? undefined : `only namespace ${rootNamespace} may ask`;
  }
}

function isLoopback(address: string): boolean {
  return address === "::1" || /^(::ffff:)?127\./.test(address);
}

function jsonValue(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Map) return Object.fromEntries(value);
  return value instanceof Set ? [...value] : value;
}

function reply(response: ServerResponse, code: number, type: string, body: string): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(code, { "content-type": type, "content-length": Buffer.byteLength(body) });
  response.end(body);
}
