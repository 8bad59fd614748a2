// Answers of the admin API, and how they get onto node:http.
import type { ServerResponse } from "node:http";

export interface Reply {
  readonly status: number;
  readonly contentType: string;
  /** Whole, or in pieces where making it takes long. */
  readonly body: string | AsyncIterable<string>;
}

export function text(body: string, status = 200): Reply {
  return { status, contentType: "text/plain; charset=UTF-8", body };
}

export function json(value: unknown): Reply {
  return { status: 200, contentType: "application/json", body: `${JSON.stringify(value, undefined, 1)}\n` };
}

export function prometheus(body: string): Reply {
  return { status: 200, contentType: "text/plain; version=0.0.4; charset=utf-8", body };
}

export async function send(response: ServerResponse, reply: Reply, isHead: boolean): Promise<void> {
  response.writeHead(reply.status, {
    "content-type": reply.contentType,
    "cache-control": "no-cache, max-age=0",
    "x-content-type-options": "nosniff",
    server: "envoy",
  });
  if (!isHead) {
    if (typeof reply.body === "string") response.write(reply.body);
    else for await (const piece of reply.body) response.write(piece);
  }
  response.end();
}
