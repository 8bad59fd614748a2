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
  readonly megabytesPerSecond: number;
}

export interface Rate {
  readonly perSecond: number;
  readonly cpuMicroseconds: number;
}

/** Requests a second, and CPU of each in one hop. Throws when one failed: the figure would be one of something else. */
export async function rate(hops: readonly BenchProcess[], load: Load): Promise<Rate> {
  const before = cpuSecondsOf(hops);
  const { requests, errors } = await wrk(load);
  if (errors > 0) throw new Error(`${errors} of ${requests} requests failed at c=${load.connections}`);
  return {
    perSecond: requests / load.seconds,
    cpuMicroseconds: ((cpuSecondsOf(hops) - before) * 1e6) / requests / hops.length,
  };
}

/** CPU microseconds per request and hop. */
export async function cpuPerRequest(hops: readonly BenchProcess[], load: Load): Promise<number> {
  return (await rate(hops, load)).cpuMicroseconds;
}

export interface Bulk {
  readonly megabytesPerSecond: number;
  readonly cpuSecondsPerGigabyte: number;
}

/** Throughput of long answers, and what it cost. */
export async function bulk(hops: readonly BenchProcess[], load: Load): Promise<Bulk> {
  const before = cpuSecondsOf(hops);
  const { megabytesPerSecond, errors } = await wrk(load);
  const used = cpuSecondsOf(hops) - before;
  if (errors > 0) throw new Error(`${errors} transfers failed at c=${load.connections}`);
  return { megabytesPerSecond, cpuSecondsPerGigabyte: used / ((megabytesPerSecond * load.seconds) / 1024) };
}

export interface GrpcLoad extends Load {
  /** Calls at a time on each connection. */
  readonly streams: number;
  /** A file with the request's message. */
  readonly message: string;
  /** Share of calls that may fail. */
  readonly mayFail: number;
}

/** CPU microseconds per unary gRPC call and hop. */
export async function cpuPerCall(hops: readonly BenchProcess[], load: GrpcLoad): Promise<number> {
  const before = cpuSecondsOf(hops);
  const { connections, streams, seconds, message, port } = load;
  const flags = `-c ${connections} -m ${streams} -D ${seconds} -d ${message} -H te:trailers -H content-type:application/grpc`;
  const { stdout } = await promisify(execFile)("h2load", [
    ...flags.split(" "),
    `http://127.0.0.1:${port}/bench.Echo/Call`,
  ]);
  const used = cpuSecondsOf(hops) - before;
  const done = Number(/(\d+) done/.exec(stdout)?.[1] ?? 0);
  const calls = Number(/status codes: (\d+) 2xx/.exec(stdout)?.[1] ?? 0);
  if (calls === 0 || done - calls > done * load.mayFail) throw new Error(`calls failed: ${stdout}`);
  return (used * 1e6) / calls / hops.length;
}

async function wrk({ port, connections, seconds }: Load): Promise<LoadResult> {
  const url = `http://127.0.0.1:${port}/`;
  const { stdout } = await promisify(execFile)("wrk", ["-t1", `-c${connections}`, `-d${seconds}s`, url]);
  const requests = Number(/(\d+) requests in/.exec(stdout)?.[1] ?? 0);
  const socketErrors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(stdout);
  const statusErrors = Number(/Non-2xx or 3xx responses: (\d+)/.exec(stdout)?.[1] ?? 0);
  const errors = (socketErrors?.slice(1).reduce((sum, count) => sum + Number(count), 0) ?? 0) + statusErrors;
  const transfer = /Transfer\/sec:\s+([\d.]+)(KB|MB|GB)/.exec(stdout);
  const unit = { KB: 1 / 1024, MB: 1, GB: 1024 }[transfer?.[2] ?? "MB"] ?? 1;
  return { requests, errors, megabytesPerSecond: Number(transfer?.[1] ?? 0) * unit };
}
