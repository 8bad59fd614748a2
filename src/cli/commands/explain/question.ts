// What a person asks: `explain GET http://reviews:9080/x --from productpage -H 'end-user: jason'`, as values.
import { UsageError } from "../../context.ts";

const applications = ["http", "tcp", "tls"] as const;
/** What the client's application speaks: requests, bytes, or bytes of TLS that no proxy on its side opens. */
type Application = (typeof applications)[number];

export interface ExplainRequest {
  readonly application: Application;
  readonly method: string;
  readonly host: string;
  readonly port: number;
  readonly authority: string;
  readonly path: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** What the client's own TLS handshake says; null when it speaks none. */
  readonly tls: { readonly serverName: string; readonly alpn: readonly string[] } | null;
  /** Claims of a token that is taken for good. */
  readonly claims?: Readonly<Record<string, unknown>>;
  /** When it is asked, in seconds since 1970: tokens expire. */
  readonly nowSeconds?: number;
}

export interface RequestFlags {
  readonly header?: readonly string[];
  readonly protocol?: string | undefined;
  readonly port?: number | undefined;
  readonly sni?: string | undefined;
  readonly alpn?: readonly string[] | undefined;
}

/** The path stays as it is written: how it is read is part of the answer. */
export function parseRequest(method: string, target: string, flags: RequestFlags = {}): ExplainRequest {
  const url = /^(?:(\w+):\/\/)?(\[[^\]]*\]|[^/?#:]*)(?::(\d+))?([/?#].*)?$/.exec(target);
  const [, scheme = "http", bracketed = "", portText, rest = "/"] = url ?? [];
  const port = flags.port ?? Number(portText ?? defaultPorts[scheme]);
  if (bracketed === "" || !(port > 0 && port < 65_536)) {
    throw new UsageError(`"${target}" is not a URL; write it as http://reviews:9080/path`);
  }
  const host = bracketed.replace(/^\[|\]$/g, "");
  const headers = Object.fromEntries((flags.header ?? []).map(parseHeader));
  const upperMethod = method.toUpperCase();
  const application = parseApplication(flags.protocol ?? (upperMethod === "TCP" ? "tcp" : scheme));
  const hasTls = scheme === "https" || application === "tls" || flags.sni !== undefined;
  return {
    application,
    method: upperMethod,
    host,
    port,
    authority: headers["host"] ?? (portText === undefined ? bracketed : `${bracketed}:${portText}`),
    path: rest.startsWith("/") ? rest : `/${rest}`,
    headers,
    tls: hasTls ? { serverName: flags.sni ?? nameOf(host), alpn: flags.alpn ?? ["h2", "http/1.1"] } : null,
  };
}

const defaultPorts: Readonly<Record<string, string>> = { http: "80", https: "443", grpc: "80" };

function parseApplication(protocol: string): Application {
  const lower = protocol.toLowerCase();
  if (lower === "https" || lower === "grpc") return "http";
  const found = applications.find((name) => name === lower);
  if (found === undefined) throw new UsageError(`the protocol is ${applications.join(", ")}, not "${protocol}"`);
  return found;
}

/** RFC 6066: addresses are no server names. */
function nameOf(host: string): string {
  return /^[\d.]+$/.test(host) || host.includes(":") ? "" : host;
}

function parseHeader(line: string): [string, string] {
  const colon = line.indexOf(":");
  if (colon < 1) throw new UsageError(`"${line}" is not a header; write it as 'name: value'`);
  return [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()];
}

/** `{"iss": "https://issuer", "sub": "jason"}` */
export function parseClaims(text: string): Readonly<Record<string, unknown>> {
  let claims: unknown;
  try {
    claims = JSON.parse(text);
  } catch {
    claims = null;
  }
  if (typeof claims === "object" && claims !== null && !Array.isArray(claims)) return { ...claims };
  throw new UsageError(`'${text}' are no claims; write them as '{"iss": "https://issuer", "sub": "jason"}'`);
}

/** `spiffe://td/ns/a/sa/b`, `td/ns/a/sa/b` or `a/b` (namespace and service account). */
export function parseIdentity(text: string, trustDomain: string): string {
  if (text.startsWith("spiffe://")) return text;
  const parts = text.split("/");
  if (parts.length === 5 && parts[1] === "ns" && parts[3] === "sa") return `spiffe://${text}`;
  if (parts.length === 2) return `spiffe://${trustDomain}/ns/${parts[0]}/sa/${parts[1]}`;
  throw new UsageError(`"${text}" is no identity; write it as spiffe://${trustDomain}/ns/default/sa/reviews`);
}
