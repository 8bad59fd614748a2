// How much of its life a certificate has left.
import { X509Certificate } from "node:crypto";

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

function lifetime(pem: string, nowMs: number): Lifetime | undefined {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch {
    return undefined;
  }
  const from = certificate.validFromDate.getTime();
  const notAfterMs = certificate.validToDate.getTime();
  const left = (notAfterMs - nowMs) / (notAfterMs - from);
  const running = left <= 0 ? "expired" : left <= soon ? "ends soon" : "valid";
  return { notAfterMs, left, state: nowMs < from ? "not valid yet" : running };
}
