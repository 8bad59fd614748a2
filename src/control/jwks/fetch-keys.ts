// Asks for the keys of a token issuer, over HTTP, within limits.
import { describeError, OutriggerError } from "#base/error.ts";
import { fetchGuarded } from "#base/net/guarded-fetch.ts";
import type { KeySource } from "#mesh/snapshot/snapshot.ts";
import { isKeySet, parseKeySet } from "#wire/jose/key-set.ts";

export interface FetchLimits {
  readonly isAllowed: (address: string) => boolean;
  readonly maxBytes?: number;
  /** PEM; servers may be certified by these authorities, beside the platform's. */
  readonly extraRoots?: string;
}

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

async function fetchText(
  url: string,
  { isAllowed, maxBytes = defaultMaxBytes, extraRoots = "" }: FetchLimits,
  signal: AbortSignal,
): Promise<string> {
  try {
    const body = await fetchGuarded(url, { isAllowed, maxBytes, extraRoots, signal, accept: "application/json" });
    return body.toString("utf8");
  } catch (error) {
    throw unreachable(describeError(error), error);
  }
}

function unreachable(words: string, cause?: unknown): OutriggerError {
  return new OutriggerError("JWKS_UNREACHABLE", words, cause === undefined ? {} : { cause });
}
