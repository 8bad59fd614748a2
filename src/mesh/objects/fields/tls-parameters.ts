// What may be negotiated in TLS, and pins of certificates: values that a proxy would refuse together with everything else
// on the same port.
import type { Report } from "../report.ts";
import { warn } from "../validate-names.ts";

/** Of TLS 1.2; those of TLS 1.3 are not chosen. */
const cipherSuites: ReadonlySet<string> = new Set([
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
  "ECDHE-ECDSA-AES128-SHA",
  "ECDHE-RSA-AES128-SHA",
  "ECDHE-ECDSA-AES256-SHA",
  "ECDHE-RSA-AES256-SHA",
  "AES128-GCM-SHA256",
  "AES256-GCM-SHA384",
  "AES128-SHA",
  "AES256-SHA",
]);

const curves: ReadonlySet<string> = new Set(["P-256", "P-384", "P-521", "X25519", "X25519MLKEM768"]);

/** Without those that nobody knows; of none the proxy's own count. */
export function knownCipherSuites(suites: readonly string[]): string[] {
  return [...new Set(suites)].filter((suite) => cipherSuites.has(suite));
}

export function knownCurves(names: readonly string[]): string[] {
  return [...new Set(names)].filter((name) => curves.has(name));
}

export function validateCipherSuites(suites: readonly string[], path: string, report: Report): void {
  for (const [index, suite] of suites.entries()) {
    if (suites.indexOf(suite) < index) report(warn(`${path}[${index}]`, `${suite} stands twice`));
    if (cipherSuites.has(suite)) continue;
    report(warn(`${path}[${index}]`, `"${suite}" is no cipher suite that can be chosen; it is left out`));
  }
}

export function validateCurves(names: readonly string[], path: string, report: Report): void {
  for (const [index, name] of names.entries()) {
    if (names.indexOf(name) < index) report(warn(`${path}[${index}]`, `${name} stands twice`));
    if (curves.has(name)) continue;
    report(warn(`${path}[${index}]`, `"${name}" is no curve; it is left out`, `one of ${[...curves].join(", ")}`));
  }
}

/** Of certificates: SHA-256 in hexadecimal. */
export function validateCertificateHashes(hashes: readonly string[], path: string, report: Report): void {
  for (const [index, hash] of hashes.entries()) {
    if (/^[0-9a-fA-F]{64}$/.test(hash.replaceAll(":", ""))) continue;
    report({ path: `${path}[${index}]`, message: "this is not a SHA-256 in hexadecimal" });
  }
}

/** Of public keys: SHA-256 in base64. */
export function validateKeyHashes(hashes: readonly string[], path: string, report: Report): void {
  for (const [index, hash] of hashes.entries()) {
    if (hash.length === 44 && Buffer.from(hash, "base64").length === 32) continue;
    report({ path: `${path}[${index}]`, message: "this is not a SHA-256 in base64" });
  }
}
