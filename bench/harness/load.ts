// wrk as the load generator: how many requests in how long, with how many errors.
import { execFile } from "node:child_process";
import { promisify } from "node:util";

export interface LoadResult {
  readonly requests: number;
  readonly errors: number;
  readonly requestsPerSecond: number;
}

export async function load(url: string, connections: number, seconds: number): Promise<LoadResult> {
  const { stdout } = await promisify(execFile)("wrk", ["-t1", `-c${connections}`, `-d${seconds}s`, url]);
  const requests = Number(/(\d+) requests in/.exec(stdout)?.[1] ?? 0);
  const socketErrors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(stdout);
  const statusErrors = Number(/Non-2xx or 3xx responses: (\d+)/.exec(stdout)?.[1] ?? 0);
  const errors = (socketErrors?.slice(1).reduce((sum, count) => sum + Number(count), 0) ?? 0) + statusErrors;
  return { requests, errors, requestsPerSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1] ?? 0) };
}
