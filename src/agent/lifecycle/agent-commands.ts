// What `pilot-agent request` and `pilot-agent wait` do, as container hooks call them: talk to the agent of the same
// pod over HTTP.
import { request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { OutriggerError } from "#base/error.ts";

export interface AgentRequest {
  readonly port: number;
  readonly method: string;
  /** With or without a leading slash. */
  readonly path: string;
  readonly timeoutMs?: number;
}

export interface AgentAnswer {
  readonly status: number;
  readonly body: string;
}

const maxBodyBytes = 16 * 1024 * 1024;

export function sendAgentRequest(options: AgentRequest): Promise<AgentAnswer> {
  const { port, method, timeoutMs = 5_000 } = options;
  const path = options.path.startsWith("/") ? options.path : `/${options.path}`;
  return new Promise((resolve, reject) => {
    const call = request({ host: "127.0.0.1", port, method, path, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        body += chunk;
        if (body.length > maxBodyBytes) call.destroy(new Error("the answer is too large"));
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
      response.on("error", reject);
    });
    call.setTimeout(timeoutMs, () => call.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    call.on("error", reject);
    call.end();
  });
}

/** Returns once the proxy is ready; throws AGENT_NOT_READY when the time is over. */
export async function waitUntilReady(
  options: { readonly port?: number; readonly timeoutMs?: number; readonly periodMs?: number } = {},
): Promise<void> {
  const { port = 15021, timeoutMs = 60_000, periodMs = 500 } = options;
  const end = Date.now() + timeoutMs;
  let last = "";
  while (Date.now() < end) {
    try {
      const answer = await sendAgentRequest({ port, method: "GET", path: "/healthz/ready", timeoutMs: 1_000 });
      if (answer.status === 200) return;
      last = answer.body.trim();
    } catch (error) {
      last = error instanceof Error ? error.message : String(error);
    }
    await sleep(Math.min(periodMs, Math.max(0, end - Date.now())));
  }
  throw new OutriggerError("AGENT_NOT_READY", `the proxy is not ready after ${timeoutMs} ms: ${last}`);
}
