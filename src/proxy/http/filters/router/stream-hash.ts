// The hash of a stream, by the hash policies of its route. A policy with a session cookie gives a client that has none
// a cookie, so that it comes back to the endpoint which it gets now.
import { randomBytes } from "node:crypto";
import type { Hash64 } from "#base/hash/hash64.ts";
import type { HashPolicy } from "../../../config/http.ts";
import { cookieOf, requestHash } from "../../../decide/request-hash.ts";
import type { Stream } from "../../stream.ts";

export interface StreamHash {
  readonly hash: Hash64 | null;
  /** Values of `set-cookie` for the response. */
  readonly cookies: readonly string[];
}

export const noHash: StreamHash = { hash: null, cookies: [] };

export function hashStream(stream: Stream, policies: readonly HashPolicy[]): StreamHash {
  const cookies: string[] = [];
  let cookieHeader = stream.header("cookie");
  for (const policy of policies) {
    if (policy.type !== "cookie" || policy.ttlMs === null) continue;
    if (cookieOf(cookieHeader, policy.name) !== undefined) continue;
    const value = randomBytes(8).toString("hex");
    cookieHeader = `${cookieHeader === undefined ? "" : `${cookieHeader}; `}${policy.name}=${value}`;
    cookies.push(setCookie(policy, value, policy.ttlMs));
  }
  const hash = requestHash(policies, {
    path: stream.path,
    sourceIp: stream.remoteIp,
    header: (name) => (name === "cookie" ? cookieHeader : stream.header(name)),
  });
  return { hash, cookies };
}

function setCookie(policy: Extract<HashPolicy, { type: "cookie" }>, value: string, ttlMs: number): string {
  const maxAge = ttlMs > 0 ? `; Max-Age=${Math.floor(ttlMs / 1000)}` : "";
  const path = policy.path === "" ? "" : `; Path=${policy.path}`;
  const attributes = policy.attributes.map((it) => (it.value === "" ? `; ${it.name}` : `; ${it.name}=${it.value}`));
  return `${policy.name}="${value}"${maxAge}${path}${attributes.join("")}; HttpOnly`;
}
