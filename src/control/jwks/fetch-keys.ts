// Asks for the keys of a token issuer, over HTTP, with limits: time, size, redirects, and which addresses are asked. The
// address is judged when it is connected to, so that a name cannot mean one thing for the check and another for the socket.
import { lookup } from "node:dns";
import { type IncomingMessage, request as requestPlain } from "node:http";
import { request as requestSecure } from "node:https";
import { isIP, type LookupFunction } from "node:net";
import { rootCertificates } from "node:tls";
import { OutriggerError } from "#base/error.ts";
import type { KeySource } from "#mesh/snapshot/snapshot.ts";
import { isKeySet, parseKeySet } from "#wire/jose/key-set.ts";

export interface FetchLimits {
  readonly isAllowed: (address: string) => boolean;
  readonly maxBytes?: number;
  /** PEM; servers may be certified by these authorities, beside the platform's. */
  readonly extraRoots?: string;
}

const maxRedirects = 5;
const defaultMaxBytes = 1024 * 1024;

/** The key set of a source, as JSON. Rejects with `JWKS_UNREACHABLE`, in words that name the address. */
export async function fetchKeys({ url, kind, timeoutMs }: KeySource, limits: FetchLimits): Promise<string> {
  const deadline = AbortSignal.timeout(timeoutMs);
  const late = (error: unknown): never => {
    throw deadline.aborted ? unreachable(`no whole answer within ${timeoutMs} ms`) : error;
  };
  const keysUrl = kind === "keys" ? url : await discover(url, limits, deadline).catch(late);
  const text = await fetchText(keysUrl, limits, deadline).catch(late);
  const keys = parseKeySet(text);
  if (!isKeySet(keys)) throw unreachable(`${keysUrl} gives no keys: ${keys.text}`);
  return text;
}

/** OpenID Connect Discovery 1.0, section 4. */
async function discover(url: string, limits: FetchLimits, deadline: AbortSignal): Promise<string> {
  const text = await fetchText(url, limits, deadline);
  let address: unknown;
  try {
    address = (JSON.parse(text) as { jwks_uri?: unknown } | null)?.jwks_uri;
  } catch {
    throw unreachable("the OpenID configuration is not JSON");
  }
  if (typeof address !== "string") throw unreachable("the OpenID configuration names no jwks_uri");
  return address;
}

async function fetchText(first: string, limits: FetchLimits, deadline: AbortSignal): Promise<string> {
  let url = parseUrl(first);
  for (let redirects = 0; redirects <= maxRedirects; redirects++) {
    const response = await ask(url, limits, deadline);
    const { statusCode: status = 0, headers } = response;
    if (status >= 300 && status < 400 && headers.location !== undefined) {
      response.destroy();
      const next = parseUrl(headers.location, url);
      if (url.protocol === "https:" && next.protocol !== "https:") {
        throw unreachable(`${url.href} leads from https to ${next.href}`);
      }
      url = next;
      continue;
    }
    if (status !== 200) {
      response.destroy();
      throw unreachable(`${url.href} answers ${status}`);
    }
    return readBody(response, limits.maxBytes ?? defaultMaxBytes, url);
  }
  throw unreachable(`more than ${maxRedirects} redirects`);
}

function parseUrl(text: string, base?: URL): URL {
  const url = URL.canParse(text, base) ? new URL(text, base) : undefined;
  if (url?.protocol === "http:" || url?.protocol === "https:") return url;
  throw unreachable(`"${text.slice(0, 200)}" is no address of http or https`);
}

function ask(url: URL, { isAllowed, extraRoots = "" }: FetchLimits, signal: AbortSignal): Promise<IncomingMessage> {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  // An address that is written as such is connected to without a lookup.
  if (isIP(host) !== 0 && !isAllowed(host)) return Promise.reject(forbidden(host));
  const request = url.protocol === "https:" ? requestSecure : requestPlain;
  return new Promise((resolve, reject) => {
    const options = {
      signal,
      lookup: guardedLookup(isAllowed),
      agent: false,
      headers: { accept: "application/json" },
      ...(extraRoots !== "" && { ca: [...rootCertificates, extraRoots] }),
    };
    const asked = request(url, options, resolve);
    asked.once("error", (error) => reject(error instanceof OutriggerError ? error : unreachable(error.message, error)));
    asked.end();
  });
}

function guardedLookup(isAllowed: (address: string) => boolean): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, "");
      const [first] = addresses.filter(({ address }) => isAllowed(address));
      if (first === undefined) return callback(forbidden(addresses.map(({ address }) => address).join(", ")), "");
      if (options.all === true) callback(null, [first]);
      else callback(null, first.address, first.family);
    });
  };
}

async function readBody(response: IncomingMessage, maxBytes: number, url: URL): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) throw unreachable(`${url.href} gives more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function forbidden(addresses: string): OutriggerError {
  return unreachable(`${addresses} is never asked for keys`);
}

function unreachable(words: string, cause?: unknown): OutriggerError {
  return new OutriggerError("JWKS_UNREACHABLE", words, cause === undefined ? {} : { cause });
}
