// Gets a resource over HTTP(S) with limits: time, size, redirects, and which addresses are asked. The address is judged
// when it is connected to, so that a name cannot mean one thing for the check and another for the socket.
import { lookup } from "node:dns";
import { type IncomingHttpHeaders, type IncomingMessage, request as requestPlain } from "node:http";
import { request as requestSecure } from "node:https";
import { isIP, type LookupFunction } from "node:net";
import { rootCertificates } from "node:tls";

export interface FetchGuard {
  readonly isAllowed: (address: string) => boolean;
  readonly maxBytes: number;
  readonly signal: AbortSignal;
  readonly accept: string;
  /** PEM; servers may be certified by these authorities, beside the platform's. Empty for none. */
  readonly extraRoots?: string;
}

/** A request of which more is asked than the body of a 200. */
export interface GuardedRequest extends FetchGuard {
  /** `authorization` goes no further than to the origin that it is for. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Makes it a POST. */
  readonly form?: URLSearchParams;
  /** Any certificate will do. */
  readonly isInsecure?: boolean;
}

export interface GuardedResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

const maxRedirects = 5;

/** The body of a 200. Rejects with an error in words that name the address. */
export async function fetchGuarded(first: string, guard: FetchGuard): Promise<Buffer> {
  const { response, url } = await followed(first, guard);
  const { statusCode: status = 0 } = response;
  if (status !== 200) {
    response.destroy();
    throw new Error(`${url.href} answers ${status}`);
  }
  return readBody(response, guard.maxBytes, url);
}

/** Whatever status is answered. Rejects with an error in words that name the address. */
export async function askGuarded(first: string, asked: GuardedRequest): Promise<GuardedResponse> {
  const { response, url } = await followed(first, asked);
  const { statusCode: status = 0, headers } = response;
  return { status, headers, body: await readBody(response, asked.maxBytes, url) };
}

async function followed(
  first: string,
  asked: GuardedRequest,
): Promise<{ readonly response: IncomingMessage; readonly url: URL }> {
  let url = parseUrl(first);
  const { origin } = url;
  const { authorization: _own, ...headers } = asked.headers ?? {};
  for (let redirects = 0; redirects <= maxRedirects; redirects++) {
    const response = await ask(url, url.origin === origin ? asked : { ...asked, headers });
    const { statusCode: status = 0, headers: answered } = response;
    if (asked.form === undefined && status >= 300 && status < 400 && answered.location !== undefined) {
      response.destroy();
      const next = parseUrl(answered.location, url);
      if (url.protocol === "https:" && next.protocol !== "https:") {
        throw new Error(`${url.href} leads from https to ${next.href}`);
      }
      url = next;
      continue;
    }
    return { response, url };
  }
  throw new Error(`more than ${maxRedirects} redirects`);
}

function parseUrl(text: string, base?: URL): URL {
  const url = URL.canParse(text, base) ? new URL(text, base) : undefined;
  if (url?.protocol === "http:" || url?.protocol === "https:") return url;
  throw new Error(`"${text.slice(0, 200)}" is no address of http or https`);
}

function ask(url: URL, asked: GuardedRequest): Promise<IncomingMessage> {
  const { isAllowed, signal, accept, extraRoots = "", headers = {}, form, isInsecure = false } = asked;
  const host = url.hostname.replace(/^\[|\]$/g, "");
  // An address that is written as such is connected to without a lookup.
  if (isIP(host) !== 0 && !isAllowed(host)) return Promise.reject(forbidden(host));
  const request = url.protocol === "https:" ? requestSecure : requestPlain;
  return new Promise((resolve, reject) => {
    const options = {
      signal,
      lookup: guardedLookup(isAllowed),
      agent: false,
      method: form === undefined ? "GET" : "POST",
      headers: {
        ...headers,
        accept,
        ...(form !== undefined && { "content-type": "application/x-www-form-urlencoded" }),
      },
      ...(isInsecure && { rejectUnauthorized: false }),
      ...(extraRoots !== "" && { ca: [...rootCertificates, extraRoots] }),
    };
    const sent = request(url, options, resolve);
    sent.once("error", reject);
    sent.end(form?.toString());
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

async function readBody(response: IncomingMessage, maxBytes: number, url: URL): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) throw new Error(`${url.href} gives more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function forbidden(addresses: string): Error {
  return new Error(`${addresses} is never asked`);
}
