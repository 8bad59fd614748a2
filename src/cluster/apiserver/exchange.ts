// One request and its answer, as the verbs see it: who asks, for what, the body within limits, the answer as JSON.

import type { IncomingMessage, ServerResponse } from "node:http";
import { apiError } from "../store/errors.ts";
import { asArray, isRecord, type JsonRecord } from "../store/json.ts";
import type { UserInfo } from "../tokens/token-authority.ts";

const maxBodyBytes: number = 3 * 1024 * 1024;
const maxDepth = 64;

export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
  readonly user: UserInfo;
}

export function contentType(request: IncomingMessage): string {
  const [type = ""] = (request.headers["content-type"] ?? "application/json").split(";");
  return type.trim().toLowerCase();
}

/** Reads a JSON or YAML body. BAD_REQUEST, TOO_LARGE or UNSUPPORTED_MEDIA_TYPE otherwise. */
export async function readBody(request: IncomingMessage): Promise<unknown> {
  const type = contentType(request);
  const isYaml = type.endsWith("yaml");
  if (!isYaml && !type.endsWith("json")) {
    throw apiError("UNSUPPORTED_MEDIA_TYPE", `the body of the request is ${type}, which is not served: use JSON`);
  }
  const text = await readText(request);
  if (text === "") return undefined;
  const value = isYaml ? await parseYaml(text) : parseJson(text);
  checkDepth(value, maxDepth);
  return value;
}

/** The body as an object. */
export async function readRecord(request: IncomingMessage): Promise<JsonRecord> {
  const body = await readBody(request);
  if (!isRecord(body)) throw apiError("BAD_REQUEST", "the body of the request is not an object");
  return body;
}

export function sendJson(response: ServerResponse, code: number, body: unknown): void {
  if (response.headersSent) return;
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(code, { "content-type": "application/json", "content-length": bytes.length });
  response.end(bytes);
}

export function addWarning(response: ServerResponse, warning: string): void {
  const text = warning.replaceAll(/[^\x20-\x7e]/g, " ").slice(0, 256);
  const quoted = text.replaceAll("\\", "\\\\").replaceAll('"', '\\"');
  response.appendHeader("warning", `299 - "${quoted}"`);
}

async function readText(request: IncomingMessage): Promise<string> {
  const tooLarge = (): Error => apiError("TOO_LARGE", `Request entity too large: limit is ${maxBodyBytes}`);
  if (Number(request.headers["content-length"] ?? 0) > maxBodyBytes) throw tooLarge();
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > maxBodyBytes) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw apiError("BAD_REQUEST", `the body of the request is not JSON: ${String(error)}`, error);
  }
}

async function parseYaml(text: string): Promise<unknown> {
  // Server-side apply sends JSON under a YAML name most of the time; only real YAML needs the parser.
  if (text.trimStart().startsWith("{")) return parseJson(text);
  const { parse } = await import("yaml");
  try {
    return parse(text, { version: "1.1", maxAliasCount: 100, schema: "core" });
  } catch (error) {
    throw apiError("BAD_REQUEST", `the body of the request is not YAML: ${String(error)}`, error);
  }
}

function checkDepth(value: unknown, left: number): void {
  if (typeof value !== "object" || value === null) return;
  if (left === 0) throw apiError("BAD_REQUEST", `the body of the request is nested deeper than ${maxDepth}`);
  for (const item of Array.isArray(value) ? asArray(value) : Object.values(value)) checkDepth(item, left - 1);
}
