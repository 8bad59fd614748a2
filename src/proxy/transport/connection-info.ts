// What is known of a downstream connection: addresses, TLS, the verified peer. Filled by the listener and read by
// filters, routes, logs and metrics. Addresses are as people write them: `10.244.0.7:9080`, `[fd00::7]:9080`.
import type { ProxyTlv } from "#wire/proxy-protocol/proxy-header.ts";
import type { TrafficDirection } from "../config/listener.ts";

export interface PeerCertificate {
  /** False when no roots were there to judge it by: its names are then claims and no identity. */
  readonly isVerified: boolean;
  /** The first URI SAN, as `spiffe://cluster.local/ns/default/sa/reviews`. */
  readonly uriSan: string | undefined;
  readonly uriSans: readonly string[];
  readonly dnsSans: readonly string[];
  /** RFC 2253, as Envoy writes it; empty for Istio's certificates. */
  readonly subject: string;
  readonly notAfterMs: number;
  /** SHA-256 of the DER, hexadecimal. */
  readonly hash: string;
  /** URL-encoded PEM. */
  readonly pem: () => string;
}

/** What a client's connection and its requests are counted with. */
export interface ArrivalCounts {
  /** Whether requests are counted by host: at a gateway. */
  readonly countsHosts: boolean;
  countRequest(method: string, path: string, isForwarded: boolean, host?: string): void;
  /** Nothing of it reached the application. */
  countRefusal(): void;
}

const noTlvs: readonly ProxyTlv[] = [];

export class ConnectionInfo {
  id = 0;
  /** Unique everywhere; made when a log asks for it. */
  uuid = "";
  listenerName = "";
  direction: TrafficDirection = 0;
  filterChainName = "";
  /** Its listener goes on as it is when the proxy drains. */
  isDrainExempt = false;
  /** Where the client wanted to go: the original destination where there was a redirect, else the local address. */
  destinationIp = "";
  destinationPort = 0;
  /** True when the kernel had redirected the connection to us. */
  isRedirected = false;
  /** True when the client asked for this proxy's own listener: forwarding to the destination would be a loop. */
  isOwnAddress = false;
  /** The client: what a PROXY header says, else the direct peer. */
  sourceIp = "";
  sourcePort = 0;
  /** Who holds the other end of the socket. */
  directSourceIp = "";
  directSourcePort = 0;
  /** Extensions of the client's PROXY header that go on to endpoints. */
  proxyTlvs: readonly ProxyTlv[] = noTlvs;
  /** From the client's hello; empty when there was none. */
  serverName = "";
  /** The protocols that the client offered, or what the HTTP inspector saw. */
  applicationProtocols: readonly string[] = [];
  transportProtocol: "" | "tls" | "raw_buffer" = "";
  /** Whether the two above were looked for in the first bytes. */
  isInspected = false;
  isTls = false;
  tlsVersion = "";
  tlsCipher = "";
  negotiatedAlpn = "";
  peer: PeerCertificate | null = null;
  localUriSan: string | undefined = undefined;
  startTimeMs = 0;
  /** How it ended: Envoy's flags, its details, and the cause in words; empty while nothing is to be said. */
  responseFlags = "";
  terminationDetails = "";
  cause = "";
  /** Dynamic metadata by filter, as RBAC and access logs read it. */
  metadata: Map<string, Record<string, unknown>> | null = null;

  /** Null where nobody counts who calls: everywhere but on the inbound side of a workload. */
  arrival: ArrivalCounts | null = null;

  setMetadata(namespace: string, key: string, value: unknown): void {
    this.metadata ??= new Map();
    const values = this.metadata.get(namespace);
    if (values === undefined) this.metadata.set(namespace, { [key]: value });
    else values[key] = value;
  }

  get destinationAddress(): string {
    return formatAddress(this.destinationIp, this.destinationPort);
  }

  get sourceAddress(): string {
    return formatAddress(this.sourceIp, this.sourcePort);
  }
}

/** A Unix socket's address is its path; that of a client's end is empty. */
export function formatAddress(ip: string, port: number): string {
  if (isPipe(ip)) return ip;
  return ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
}

/** Whether an address is that of a Unix socket: a path, an abstract name (`@name`), or nothing at all. */
export function isPipe(address: string): boolean {
  return address === "" || address.startsWith("/") || address.startsWith("@");
}

/** Removes the IPv4-mapped form that a dual-stack socket reports. */
export function plainIp(address: string | undefined): string {
  if (address === undefined) return "";
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
}
