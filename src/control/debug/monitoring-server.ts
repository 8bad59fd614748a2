// HTTP for operators: /metrics, /version, /ready, and /debug for callers on this machine or with a token: the control
// plane's own namespace sees the whole mesh, others what their own proxies were given.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { describeError } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import { type MetricRegistry, textContentType } from "#base/metrics/registry.ts";
import { type BoundAddress, listenOn } from "../bind.ts";
import type { TokenVerifier } from "../ca/token-review.ts";
import { type DebugState, debugJson } from "./answer.ts";
import { answerDebug, answerOwnProxies } from "./debug-endpoints.ts";

/** Who may see /debug from another machine; from this one it is always open. */
export interface DebugAccess {
  /** Default true; false closes it to every other machine (ENABLE_DEBUG_ON_HTTP). */
  readonly onHttp?: boolean;
  /** Default true; false asks nobody for a token (ENABLE_DEBUG_ENDPOINT_AUTH). */
  readonly authentication?: boolean;
  /** Namespaces that see the whole mesh, beside the control plane's own (DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES). */
  readonly allowedNamespaces?: readonly string[];
}

export interface MonitoringOptions {
  readonly metrics: MetricRegistry;
  readonly version: string;
  readonly debug: DebugState;
  readonly isReady: () => boolean;
  readonly tokens: TokenVerifier | undefined;
  readonly rootNamespace: string;
  readonly access: DebugAccess;
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
    const caller = await this.#authorize(request);
    if ("code" in caller) return reply(response, caller.code, "text/plain", `${caller.message}\n`);
    const name = url.pathname.replace(/^\/debug\/?/, "");
    const { debug } = this.#options;
    const answer =
      caller.namespace === undefined
        ? await answerDebug(name, url.searchParams, debug)
        : await answerOwnProxies(name, url.searchParams, debug, caller.namespace);
    if ("json" in answer) return reply(response, 200, "application/json", debugJson(answer.json));
    reply(response, answer.code, "text/plain", `${answer.message}\n`);
  }

  async #authorize(request: IncomingMessage): Promise<DebugCaller | Refusal> {
    if (isLoopback(request.socket.remoteAddress ?? "")) return wholeMesh;
    const { tokens, rootNamespace, access } = this.#options;
    if (access.onHttp === false) return { code: 404, message: "not found" };
    if (access.authentication === false) return wholeMesh;
    const token = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? "")?.[1];
    if (token === undefined) return { code: 401, message: "a bearer token is needed from another machine" };
    if (tokens === undefined) {
      return { code: 401, message: "tokens are not accepted: there is no API server to ask" };
    }
    const verdict = await tokens.verify(token, ["istio-ca"]);
    if ("refused" in verdict) return { code: 401, message: verdict.refused };
    const { namespace } = verdict.identity;
    return [rootNamespace, ...(access.allowedNamespaces ?? [])].includes(namespace) ? wholeMesh : { namespace };
  }
}

/** Who asks, and what it may see: the proxies of a namespace, or everything. */
interface DebugCaller {
  readonly namespace: string | undefined;
}

interface Refusal {
  readonly code: number;
  readonly message: string;
}

const wholeMesh: DebugCaller = { namespace: undefined };

function isLoopback(address: string): boolean {
  return address === "::1" || /^(::ffff:)?127\./.test(address);
}

function reply(response: ServerResponse, code: number, type: string, body: string): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(code, { "content-type": type, "content-length": Buffer.byteLength(body) });
  response.end(body);
}
