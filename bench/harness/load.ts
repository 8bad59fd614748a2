// wrk as the load generator, and what a request cost the proxies under it.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { type BenchProcess, cpuSecondsOf } from "./process.ts";

export interface Load {
  readonly port: number;
  readonly connections: number;
  readonly seconds: number;
}

interface LoadResult {
  readonly requests: number;
  readonly errors: number;
}

/** CPU microseconds per request and hop. Throws when a request failed: the figure would be one of something else. */
export async function cpuPerRequest(hops: readonly BenchProcess[], load: Load): Promise<number> {
  const before = cpuSecondsOf(hops);
  const { requests, errors } = await wrk(load);
  const used = cpuSecondsOf(hops) - before;
  if (errors > 0) throw new Error(`${errors} of ${requests} requests failed at c=${load.connections}`);
  return (used * 1e6) / requests / hops.length;
}

async function wrk({ port, connections, seconds }: Load): Promise<LoadResult> {
  const url = `http://127.0.0.1:${port}/`;
  const { stdout } = await promisify(execFile)("wrk", ["-t1", `-c${connections}`, `-d${seconds}s`, url]);
  const requests = Number(/(\d+) requests in/.exec(stdout)?.[1] ?? 0);
  const socketErrors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(stdout);
  const statusErrors = Number(/Non-2xx or 3xx responses: (\d+)/.exec(stdout)?.[1] ?? 0);
  const errors = (socketErrors?.slice(1).reduce((sum, count) => sum + Number(count), 0) ?? 0) + statusErrors;
  return { requests, errors };
}
