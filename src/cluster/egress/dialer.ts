// The host's end of the way out: connects from the host's network, for the sandbox, which gets the socket. What must not
// be reached is refused here, where nothing of the cluster can reach around it.
import { connect, type Socket } from "node:net";
import { addressFilter } from "#base/net/address-filter.ts";
import { hostAlias, hostAliasName, podNetwork, serviceNetwork } from "../network/addresses.ts";
import type { Endpoint } from "../network/service-endpoints.ts";

export interface DialerOptions {
  /** Ports of the host's own loopback that `host.outrigger.internal` leads to. */
  readonly hostPorts: readonly number[];
  /** The variable that names the host's HTTP proxy, as `HTTPS_PROXY`: told when there is no direct way. */
  readonly httpProxyVariable?: string;
  /** Default 10 s. */
  readonly connectTimeoutMs?: number;
}

/** A connected socket that nothing was read from, or why there is none, in words. */
export type DialResult = { readonly socket: Socket } | { readonly failure: string };

export type Dial = (destination: Endpoint) => Promise<DialResult>;

const maxInFlight = 512;
const defaultTimeoutMs = 10_000;

export function createDialer(options: DialerOptions): Dial {
  const isOpen = addressFilter([podNetwork, serviceNetwork]);
  const hostPorts = new Set(options.hostPorts);
  let inFlight = 0;
  return async ({ address, port }) => {
    const isHost = address === hostAlias;
    if (isHost && !hostPorts.has(port)) return { failure: closedHostPort(port) };
    if (!isHost && !isOpen(address)) return { failure: closedAddress };
    if (inFlight >= maxInFlight) return { failure: `${maxInFlight} connections are being made already` };
    inFlight += 1;
    try {
      return await connectTo(isHost ? "localhost" : address, port, options);
    } finally {
      inFlight -= 1;
    }
  };
}

const closedAddress =
  "closed to pods: this machine itself, its neighbours on the link, metadata services of clouds, and the cluster's own addresses";

function closedHostPort(port: number): string {
  return `port ${port} of this machine is closed to pods; start with --host-port ${port} to open it as ${hostAliasName}:${port}`;
}

function connectTo(host: string, port: number, options: DialerOptions): Promise<DialResult> {
  const timeoutMs = options.connectTimeoutMs ?? defaultTimeoutMs;
  return new Promise((resolve) => {
    const socket = connect({ host, port, allowHalfOpen: true, noDelay: true });
    // What the server says first belongs to the sandbox.
    socket.pause();
    const timer = setTimeout(() => fail(`no answer within ${timeoutMs / 1000} s`, true), timeoutMs);
    const fail = (reason: string, isUnreachable: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ failure: isUnreachable ? reason + proxyHint(options.httpProxyVariable) : reason });
    };
    socket.on("error", (error: NodeJS.ErrnoException) => {
      const code = error instanceof AggregateError ? codeOf(error.errors[0]) : codeOf(error);
      fail(reasons[code] ?? code, unreachable.has(code));
    });
    socket.once("connect", () => {
      clearTimeout(timer);
      resolve({ socket });
    });
  });
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: "the server refuses (nothing listens on that port)",
  ECONNRESET: "the server ended the connection at once",
  ENETUNREACH: "this machine has no route there",
  EHOSTUNREACH: "this machine does not reach that host",
  ETIMEDOUT: "no answer",
  EACCES: "this machine's firewall forbids it",
  EPERM: "this machine's firewall forbids it",
};
const unreachable = new Set(["ENETUNREACH", "EHOSTUNREACH", "ETIMEDOUT", "EACCES", "EPERM"]);

function proxyHint(variable: string | undefined): string {
  if (variable === undefined) return "";
  return `. This machine has an HTTP proxy (${variable}), which pods do not use: they reach what the machine reaches directly`;
}
