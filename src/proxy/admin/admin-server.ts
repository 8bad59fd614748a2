// The proxy's own HTTP servers: admin API (15000, this machine only), Prometheus (15090) and readiness (15021).
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { describeError, OutriggerError } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import type { ProxyState } from "./proxy-state.ts";
import { prometheus, type Reply, send, text } from "./reply.ts";
import { answerAdmin, readiness } from "./routes.ts";
import { prometheusText } from "./stats.ts";

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface AdminServer extends Running {
  /** The port in use, which differs from the asked one for port 0. */
  readonly port: number;
}

type Answer = (method: string, url: URL) => Reply | Promise<Reply>;

export function startAdmin(address: Address, state: ProxyState, log: Logger): Promise<AdminServer> {
  return serve(
    address,
    async (method, url) => {
      await state.refresh();
      return answerAdmin(state, method, url);
    },
    log,
  );
}

/** Only `/stats/prometheus`. */
export function startPrometheus(address: Address, state: ProxyState, log: Logger): Promise<AdminServer> {
  return serve(
    address,
    async (_, url) => {
      if (url.pathname !== "/stats/prometheus") return text("not found\n", 404);
      await state.refresh();
      return prometheus(prometheusText(state));
    },
    log,
  );
}

/** Only `/healthz/ready`. */
export function startReadiness(address: Address, state: ProxyState, log: Logger): Promise<AdminServer> {
  return serve(
    address,
    (_, url) => (url.pathname === "/healthz/ready" ? readiness(state) : text("not found\n", 404)),
    log,
  );
}

async function serve(address: Address, answer: Answer, log: Logger): Promise<AdminServer> {
  const server = createServer({ requestTimeout: 10_000, headersTimeout: 10_000 }, (request, response) => {
    handle(request, response, answer).catch((error: unknown) => {
      log.warn(`admin request failed: ${describeError(error)}`);
      if (!response.headersSent) response.writeHead(500);
      response.end();
    });
  });
  await listen(server, address);
  return {
    port: (server.address() as AddressInfo).port,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function handle(request: IncomingMessage, response: ServerResponse, answer: Answer): Promise<void> {
  const method = request.method ?? "GET";
  if (method !== "GET" && method !== "HEAD" && method !== "POST") {
    await send(response, text("method not allowed\n", 405), false);
    return;
  }
  const url = URL.parse(request.url ?? "/", "http://localhost");
  if (url !== null && request.headers["content-type"]?.startsWith("application/x-www-form-urlencoded")) {
    await addForm(request, url.searchParams);
  } else request.resume();
  const reply = url === null ? text("bad request\n", 400) : await answer(method, url);
  await send(response, reply, method === "HEAD");
}

/** Of a form. */
const maxBodyBytes = 64 * 1024;

/** Values that are sent as a form count as if they stood in the query. */
async function addForm(request: IncomingMessage, query: URLSearchParams): Promise<void> {
  let body = "";
  for await (const chunk of request) {
    if (body.length < maxBodyBytes) body += String(chunk);
  }
  for (const [name, value] of new URLSearchParams(body.slice(0, maxBodyBytes))) query.append(name, value);
}

function listen(server: Server, address: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause) =>
      reject(new OutriggerError("ADMIN_BIND", `can't listen on ${address.host}:${address.port}`, { cause })),
    );
    server.listen(address.port, address.host, resolve);
  });
}
