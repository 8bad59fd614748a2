// OUTPUT_CERTS: the workload's certificate as files, for applications that speak mutual TLS themselves (proxyless gRPC).
// The one place where a private key is written: only where it is asked for, readable by the proxy's user and group.
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeError } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import type { SecretStore } from "#wire/tls/secrets.ts";
import { certificateName, rootsName } from "./start-identity.ts";

const keyMode = 0o640;
const certificateMode = 0o644;

export function outputCerts(folder: string, secrets: SecretStore, log: Logger): Running {
  const write = (changed: string): void => {
    try {
      const certificate = secrets.certificate(certificateName);
      const roots = secrets.trustedRoots(rootsName);
      mkdirSync(folder, { recursive: true });
      if (changed === rootsName && roots !== undefined) replace(folder, "root-cert.pem", roots, certificateMode);
      if (changed !== certificateName || certificate === undefined) return;
      replace(folder, "key.pem", certificate.privateKey, keyMode);
      replace(folder, "cert-chain.pem", certificate.certificateChain, certificateMode);
    } catch (error) {
      log.error("the certificate cannot be written for OUTPUT_CERTS", { folder, error: describeError(error) });
    }
  };
  log.warn("the workload's private key is written to files (OUTPUT_CERTS): who reads them can act as the workload", {
    folder,
  });
  for (const name of [rootsName, certificateName]) write(name);
  const unsubscribe = secrets.onChange(write);
  return { stop: () => Promise.resolve(unsubscribe()) };
}

/** A reader sees the old file or the new one whole. */
function replace(folder: string, name: string, text: string, mode: number): void {
  const next = join(folder, `.${name}.new`);
  writeFileSync(next, text, { mode });
  renameSync(next, join(folder, name));
}
