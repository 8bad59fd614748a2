// What a person asks: `explain GET http://reviews:9080/x --from productpage -H 'end-user: jason'`, as values.
import { UsageError } from "../../context.ts";

export interface ExplainRequest {
  /** `TCP` asks about a connection without HTTP. */
  readonly method: string;
  readonly host: string;
  readonly port: number;
  readonly authority: string;
  readonly path: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** Claims of a token that is taken for good. */
  readonly claims?: Readonly<Record<string, unknown>>;
  /** When it is asked, in seconds since 1970: tokens expire. */
  readonly nowSeconds?: number;
}

export function parseRequest(method: string, target: string, headerLines: readonly string[]): ExplainRequest {
  const url = parseUrl(target.includes("://") ? target : `http://${target}`);
  const headers = Object.fromEntries(headerLines.map(parseHeader));
  const port = url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
  return {
    method: method.toUpperCase(),
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port,
    authority: headers["host"] ?? url.host,
    path: `${url.pathname}${url.search}`,
    headers,
  };
}

function parseUrl(text: string): URL {
  try {
    return new URL(text);
  } catch {
    throw new UsageError(`"${text}" is not a URL; write it as http://reviews:9080/path`);
  }
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
