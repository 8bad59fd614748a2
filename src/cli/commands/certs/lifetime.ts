// How much of its life a certificate, or a revocation list, has left.
import { X509Certificate } from "node:crypto";
import { parseRevocationLists } from "#wire/x509/revocation-list.ts";

export interface Lifetime {
  readonly notAfterMs: number;
  /** From 1, when it has just begun, to 0 and below, when it has ended. */
  readonly left: number;
  readonly state: "valid" | "ends soon" | "expired" | "not valid yet";
}

/** From here on somebody should have renewed it: proxies do at half life, cert-manager at a third. */
const soon = 0.2;

const block = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** A chain is as good as what ends first in it; of trusted roots one that is good is enough. Undefined: unreadable. */
export function lifetimeOf(pem: string, type: "chain" | "roots", nowMs: number): Lifetime | undefined {
  const all = [...pem.matchAll(block)].flatMap(([text]) => lifetime(text, nowMs) ?? []);
  const [first, ...rest] = all.sort((a, b) => a.left - b.left);
  return type === "chain" ? first : (rest.at(-1) ?? first);
}

/**
 * Lists are as good as what ends first: from then on certificates of its issuer are refused. One that never ends has all
 * of its life left. Undefined: unreadable.
 */
export function lifetimeOfLists(pem: string, nowMs: number): Lifetime | undefined {
  try {
    const all = parseRevocationLists(pem).map(({ thisUpdateMs, nextUpdateMs }) =>
      between(thisUpdateMs, nextUpdateMs ?? Number.POSITIVE_INFINITY, nowMs),
    );
    return all.sort((a, b) => a.left - b.left)[0];
  } catch {
    return undefined;
  }
}

function lifetime(pem: string, nowMs: number): Lifetime | undefined {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch {
    return undefined;
  }
  return between(certificate.validFromDate.getTime(), certificate.validToDate.getTime(), nowMs);
}

function between(from: number, notAfterMs: number, nowMs: number): Lifetime {
  const left = notAfterMs === Number.POSITIVE_INFINITY ? 1 : (notAfterMs - nowMs) / (notAfterMs - from);
  const running = left <= 0 ? "expired" : left <= soon ? "ends soon" : "valid";
  return { notAfterMs, left, state: nowMs < from ? "not valid yet" : running };
}
