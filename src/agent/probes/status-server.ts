// The agent's HTTP server (port 15020): readiness for the kubelet, the application's probes, merged metrics, and the
// commands `drain` and `quitquitquit`, which only the pod itself may give.
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { OutriggerError } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import { type MetricRegistry, textContentType } from "#base/metrics/registry.ts";
import { mergedMetrics, type ScrapeTarget } from "./merged-metrics.ts";
import { type AppProbers, probe } from "./prober.ts";

export interface StatusServerOptions {
  readonly port: number;
  /** Default: all addresses. */
  readonly host?: string;
  /** Empty when the proxy is ready; otherwise what it waits for, in words. */
  readonly notReadyReason: () => string | Promise<string>;
  readonly probers: AppProbers;
  /** Where the application answers probes: the pod's address. */
  readonly probeHost: string;
  readonly proxyMetrics: () => string | Promise<string>;
  readonly metrics: MetricRegistry;
  readonly scrapeTargets: readonly ScrapeTarget[];
  readonly scrapeHost?: string;
  readonly drain: () => void;
  readonly quit: () => void;
  readonly logger: Logger;
}

export interface StatusServer extends Running {
  readonly port: number;
}

const maxConcurrentProbes = 64;
const scrapeTimeoutMs = 10_000;

export async function startStatusServer(options: StatusServerOptions): Promise<StatusServer> {
  let probesUnderWay = 0;
  const probePaths = new Map(Object.entries(options.probers));

  const answerProbe = async (path: string, request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const prober = probePaths.get(path);
    if (prober === undefined) return send(response, 404, "there is no such probe");
    if (probesUnderWay >= maxConcurrentProbes) return send(response, 503, "too many probes at once");
    probesUnderWay += 1;
    try {
      const result = await probe(prober, { host: options.probeHost, headers: request.headers });
      if (result.reason !== undefined) options.logger.debug(`probe ${path} failed: ${result.reason}`);
      send(response, result.status, result.reason ?? "");
    } finally {
      probesUnderWay -= 1;
    }
  };

  const answerReadiness = async (response: ServerResponse): Promise<void> => {
    const reason = await options.notReadyReason();
    send(response, reason === "" ? 200 : 503, reason);
  };

  const answerCommand = (command: () => void, request: IncomingMessage, response: ServerResponse): void => {
    if (!isLoopback(request.socket.remoteAddress)) return send(response, 403, "only the pod itself may ask for this");
    if (request.method !== "POST") return send(response, 405, "only POST");
    send(response, 200, "OK");
    command();
  };

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
    switch (path) {
      case "/healthz/ready":
        return answerReadiness(response);
      case "/metrics":
        return sendMetrics(response, options.metrics.expose());
      case "/stats/prometheus":
        return sendMetrics(
          response,
          await mergedMetrics({
            proxy: options.proxyMetrics,
            agent: options.metrics,
            targets: options.scrapeTargets,
            timeoutMs: scrapeTimeoutMs,
            ...(options.scrapeHost !== undefined && { host: options.scrapeHost }),
          }),
        );
      case "/drain":
        return answerCommand(options.drain, request, response);
      case "/quitquitquit":
        return answerCommand(options.quit, request, response);
      default:
        return path.startsWith("/app-health/") || path.startsWith("/app-lifecycle/")
          ? answerProbe(path, request, response)
          : send(response, 404, "not found");
    }
  };

  const server = createServer({ maxHeaderSize: 16 * 1024, requestTimeout: 30_000, headersTimeout: 10_000 });
  server.maxConnections = 1024;
  server.on("request", (request, response) => {
    request.resume();
    answer(request, response).catch((error: unknown) => {
      options.logger.warn(`${request.url ?? ""}: ${error instanceof Error ? error.message : String(error)}`);
      if (response.headersSent) response.destroy();
      else send(response, 500, "internal error");
    });
  });
  await listen(server, options.port, options.host);
  server.on("error", (error) => options.logger.warn(`status server: ${error.message}`));
  return { port: (server.address() as AddressInfo).port, stop: () => close(server) };
}

/** The kubelet's own door to readiness (port 15021), which gateways also show to load balancers. */
export async function startReadinessServer(
  options: Pick<StatusServerOptions, "port" | "host" | "notReadyReason">,
): Promise<StatusServer> {
  const server = createServer({ maxHeaderSize: 16 * 1024, requestTimeout: 10_000, headersTimeout: 5_000 });
  server.maxConnections = 256;
  server.on("request", (request, response) => {
    request.resume();
    if ((request.url ?? "/").split("?", 1)[0] !== "/healthz/ready") return send(response, 404, "not found");
    Promise.resolve(options.notReadyReason()).then(
      (reason) => send(response, reason === "" ? 200 : 503, reason),
      () => send(response, 503, "readiness is unknown"),
    );
  });
  await listen(server, options.port, options.host);
  return { port: (server.address() as AddressInfo).port, stop: () => close(server) };
}

async function listen(server: Server, port: number, host: string | undefined): Promise<void> {
  server.listen({ port, ...(host !== undefined && { host }) });
  try {
    await once(server, "listening");
  } catch (cause) {
    throw new OutriggerError("PROBE_LISTEN", `the status server cannot listen on port ${port}`, { cause });
  }
}

async function close(server: Server): Promise<void> {
  const closed = once(server, "close");
  server.close();
  server.closeAllConnections();
  await closed;
}

function send(response: ServerResponse, status: number, text: string): void {
  const body = text === "" ? "" : `${text}\n`;
  response.writeHead(status, {
    "content-type": "text/plain; charset=utf-8",
    "content-length": Buffer.byteLength(body),
  });
  response.end(body);
}

function sendMetrics(response: ServerResponse, text: string): void {
  response.writeHead(200, { "content-type": textContentType, "content-length": Buffer.byteLength(text) });
  response.end(text);
}

function isLoopback(address: string | undefined): boolean {
  return address !== undefined && (address === "::1" || address.replace("::ffff:", "").startsWith("127."));
}
