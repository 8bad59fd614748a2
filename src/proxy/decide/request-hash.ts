// HOT: per request on a route with hash policies. The hash by which consistent balancers choose: the policies of the
// route, combined as Envoy does.
import { combineHash, type Hash64, MutableHash64 } from "#base/hash/hash64.ts";
import { xxHash64 } from "#base/hash/xx-hash64.ts";
import type { HashPolicy } from "../config/http.ts";
import { addStep, type Trace } from "../config/trace.ts";

export interface HashSubject {
  /** With query. */
  readonly path: string;
  header(name: string): string | undefined;
  /** The client's address, without port. */
  readonly sourceIp: string;
}

/** Null: no policy has a value. */
export function requestHash(
  policies: readonly HashPolicy[],
  subject: HashSubject,
  trace: Trace | null = null,
): Hash64 | null {
  let hash: Hash64 | null = null;
  for (let i = 0; i < policies.length; i++) {
    const policy = policies[i] as HashPolicy;
    const value = valueOf(policy, subject);
    if (value !== undefined) {
      const own = new MutableHash64();
      xxHash64(value, 0, own);
      hash = combineHash(hash, own);
    }
    if (trace !== null)
      addStep(trace, "hash", `${policy.description} is ${value === undefined ? "absent" : `"${value}"`}`);
    if (policy.terminal && hash !== null) break;
  }
  return hash;
}

function valueOf(policy: HashPolicy, subject: HashSubject): string | undefined {
  switch (policy.type) {
    case "header": {
      const value = subject.header(policy.name);
      return value === undefined || policy.rewrite === null ? value : policy.rewrite(value);
    }
    case "cookie":
      return cookieOf(subject.header("cookie"), policy.name);
    case "source_ip":
      return subject.sourceIp;
    case "query_parameter":
      return queryOf(subject.path, policy.name);
  }
}

/** The value of a cookie, without quotes; undefined when there is none, or an empty one. */
export function cookieOf(header: string | undefined, name: string): string | undefined {
  if (header === undefined) return undefined;
  for (const part of header.split(";", 256)) {
    const equals = part.indexOf("=");
    if (equals < 0 || part.slice(0, equals).trim() !== name) continue;
    const value = part.slice(equals + 1).trim();
    return (value.startsWith('"') && value.endsWith('"') && value.length > 1 ? value.slice(1, -1) : value) || undefined;
  }
  return undefined;
}

function queryOf(path: string, name: string): string | undefined {
  const start = path.indexOf("?");
  return start < 0 ? undefined : (new URLSearchParams(path.slice(start + 1)).get(name) ?? undefined);
}
