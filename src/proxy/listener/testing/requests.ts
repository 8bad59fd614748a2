// Asks a data path over HTTP with node:http as the independent client, and waits for conditions.
import assert from "node:assert/strict";
import { request } from "node:http";
import { connect } from "node:net";
import type { ManualClock } from "#base/time/clock.ts";
import type { TestDataPath } from "./data-path.ts";

export interface Answer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
  readonly bytes: Buffer;
  readonly trailers: NodeJS.Dict<string>;
}

/** One request to the listener `test`. */
export function ask(
  path: TestDataPath,
  target: string,
  options: Record<string, unknown> = {},
  body?: string | Buffer,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: "127.0.0.1", port: path.port(), path: target, ...options }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const bytes = Buffer.concat(chunks);
        const { statusCode: status = 0, headers, trailers } = response;
        resolve({ status, headers, body: bytes.toString(), bytes, trailers });
      });
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

/** Sends bytes as they are and resolves with everything that comes back until the connection ends. */
export function sendRaw(
  port: number,
  bytes: string | Buffer,
  options: { readonly end?: boolean } = {},
): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    let text = "";
    socket.on("data", (chunk) => (text += chunk.toString("latin1")));
    socket.on("error", () => resolve(text));
    socket.on("end", () => socket.end());
    socket.on("close", () => resolve(text));
    socket.write(bytes);
    if (options.end === true) socket.end();
  });
}

/** Waits for a condition, for ten seconds at most where no limit is given: long on an idle machine, not on a busy one. */
export async function until(condition: () => boolean, limitMs = 10_000): Promise<void> {
  const end = Date.now() + limitMs;
  while (!condition() && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(condition(), "the condition came true in time");
}

/**
 * Moves the clock on in small steps until the condition is true, and gives the milliseconds that it took. What is read in
 * one step or another may start a deadline, so a test of deadlines asks how long it took and does not jump to the end.
 */
export async function elapsed(clock: ManualClock, condition: () => boolean, mostMs = 600_000): Promise<number> {
  let waitedMs = 0;
  for (; !condition() && waitedMs < mostMs; waitedMs += 250) {
    clock.advance(250);
    await new Promise(setImmediate);
  }
  await until(condition);
  return waitedMs;
}
