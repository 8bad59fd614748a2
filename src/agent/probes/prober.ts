// Performs the application's real probes: HTTP(S) GET, TCP connect, gRPC health check. Connections leave from
// 127.0.0.6, the one source that capture lets through to the application without a detour over the proxy.
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect, isIP } from "node:net";
import { checkGrpcHealth } from "./grpc-health.ts";

export interface AppProber {
  readonly httpGet?: {
    readonly path?: string;
    readonly port: number;
    readonly host?: string;
    readonly scheme?: string;
    readonly httpHeaders?: readonly { readonly name: string; readonly value: string }[];
  };
  readonly tcpSocket?: { readonly port: number; readonly host?: string };
  readonly grpc?: { readonly port: number; readonly service?: string };
  readonly timeoutSeconds?: number;
}

/** Real probes by the agent's path: `/app-health/reviews/livez`. */
export type AppProbers = Readonly<Record<string, AppProber>>;

export interface ProbeTarget {
  /** Pod address, or `localhost`. */
  readonly host: string;
  /** Headers of the kubelet's own request, passed on to an HTTP probe. */
  readonly headers?: IncomingHttpHeaders;
}

export interface ProbeResult {
  readonly status: number;
  /** Why, in words, when it is not a success. */
  readonly reason?: string;
}

const defaultTimeoutMs = 1_000;
const longestTimeoutMs = 60_000;
const hopHeaders: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
  "te",
  "trailer",
  "proxy-connection",
  "host",
  "content-length",
]);

/** Never throws: a probe that cannot be made has failed. */
export function probe(prober: AppProber, target: ProbeTarget): Promise<ProbeResult> {
  const timeoutMs = Math.min(longestTimeoutMs, (prober.timeoutSeconds ?? 0) * 1000 || defaultTimeoutMs);
  if (prober.httpGet !== undefined) return probeHttp(prober.httpGet, target, timeoutMs);
  if (prober.tcpSocket !== undefined) {
    return probeTcp(prober.tcpSocket.host || target.host, prober.tcpSocket.port, timeoutMs);
  }
  if (prober.grpc !== undefined) {
    const { port, service = "" } = prober.grpc;
    return checkGrpcHealth({ host: target.host, port, service, timeoutMs, localAddress: probeSource(target.host) });
  }
  return Promise.resolve({ status: 404, reason: "the probe names no action" });
}

/** The source address that capture exempts, in the family of the destination. */
function probeSource(host: string): string | undefined {
  switch (isIP(host)) {
    case 4:
      return "127.0.0.6";
    case 6:
      return "::6";
    default:
      return undefined;
  }
}

function probeHttp(
  action: NonNullable<AppProber["httpGet"]>,
  target: ProbeTarget,
  timeoutMs: number,
): Promise<ProbeResult> {
  const host = action.host || target.host;
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(target.headers ?? {})) {
    if (value !== undefined && !hopHeaders.has(name)) headers[name] = value;
  }
  for (const { name, value } of action.httpHeaders ?? []) headers[name.toLowerCase()] = value;
  const secure = action.scheme?.toUpperCase() === "HTTPS";
  const path = action.path === undefined || action.path === "" ? "/" : action.path;
  return new Promise((resolve) => {
    let request: ReturnType<typeof httpRequest>;
    try {
      request = (secure ? httpsRequest : httpRequest)({
        host,
        port: action.port,
        path: path.startsWith("/") ? path : `/${path}`,
        headers,
        agent: false,
        localAddress: probeSource(host),
        // As the kubelet does: the probe asks for health, not for identity.
        ...(secure && { rejectUnauthorized: false }),
      });
    } catch (error) {
      // A path or header that HTTP does not allow.
      resolve({ status: 500, reason: reasonOf(error) });
      return;
    }
    const deadline = setTimeout(() => request.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    request.on("response", (response) => {
      const status = response.statusCode ?? 500;
      response.destroy();
      clearTimeout(deadline);
      resolve(status < 400 ? { status } : { status, reason: `the application answered ${status}` });
    });
    request.on("error", (error) => {
      clearTimeout(deadline);
      resolve({ status: 500, reason: reasonOf(error) });
    });
    request.end();
  });
}

function probeTcp(host: string, port: number, timeoutMs: number): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const localAddress = probeSource(host);
    const socket = connect({ host, port, ...(localAddress !== undefined && { localAddress }) });
    const finish = (result: ProbeResult): void => {
      socket.destroy();
      resolve(result);
    };
    socket.setTimeout(timeoutMs, () => finish({ status: 500, reason: `no connection within ${timeoutMs} ms` }));
    socket.on("connect", () => finish({ status: 200 }));
    socket.on("error", (error) => finish({ status: 500, reason: error.message }));
  });
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
