// What the four Bookinfo services share: an HTTP server with a health page, trace headers that travel on, JSON
// answers, calls to the next service, and an end that loses no request.
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";

/** Headers that an application behind a sidecar passes on, so that one trace stays one trace. */
const forwardedHeaders = [
  "x-request-id",
  "x-b3-traceid",
  "x-b3-spanid",
  "x-b3-parentspanid",
  "x-b3-sampled",
  "x-b3-flags",
  "b3",
  "traceparent",
  "tracestate",
  "end-user",
  "user-agent",
  "cookie",
  "authorization",
];

export type Handler = (request: IncomingMessage, response: ServerResponse, url: URL) => Promise<void> | void;

export function forwardHeaders(request: IncomingMessage): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const name of forwardedHeaders) {
    const value = request.headers[name];
    if (typeof value === "string") headers[name] = value;
  }
  return headers;
}

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const body = JSON.stringify(value);
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
  response.end(body);
}

export interface Answer {
  readonly status: number;
  readonly body: string;
}

/** Gets a page of another service. Never throws: a connection that fails is status 0 with the reason as body. */
export function get(url: string, headers: Record<string, string>, timeoutMs = 3000): Promise<Answer> {
  return new Promise((resolve) => {
    const call = httpRequest(url, { headers, timeout: timeoutMs }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
      response.on("error", (error) => resolve({ status: 0, body: error.message }));
    });
    call.on("timeout", () => call.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    call.on("error", (error) => resolve({ status: 0, body: error.message }));
    call.end();
  });
}

/** Serves until SIGTERM; then goes on for a moment, because callers learn a little later that this pod is leaving. */
export function serve(name: string, handler: Handler): void {
  const port = Number(process.env["PORT"] ?? process.argv[2] ?? 9080);
  const lameDuckMs = Number(process.env["LAME_DUCK_MS"] ?? 2000);
  const server = createServer({ keepAliveTimeout: 75_000 }, (request, response) => {
    const url = new URL(request.url ?? "/", "http://bookinfo");
    if (url.pathname === "/health") {
      sendJson(response, 200, { status: `${name} is healthy` });
      return;
    }
    Promise.resolve(handler(request, response, url)).catch((error: unknown) => {
      if (response.headersSent) response.destroy();
      else sendJson(response, 500, { error: String(error) });
    });
  });
  server.listen(port, "0.0.0.0", () => console.log(`${name} listens on port ${port}`));
  process.once("SIGTERM", () => {
    console.log(`${name} leaves in ${lameDuckMs} ms`);
    setTimeout(() => {
      server.close(() => process.exit(0));
      server.closeIdleConnections();
    }, lameDuckMs);
  });
}
