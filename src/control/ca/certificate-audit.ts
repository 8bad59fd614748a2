// One line for each certificate that was asked for: who asked, from where, for whom, what it got or why not. Never a
// token, a key or a request.
import type { Logger } from "#base/log/log.ts";
import type { IssuedCertificate } from "./authority.ts";

export interface AuditSubject {
  /** Address of the caller. */
  readonly peer: string;
  /** Who the caller proved to be. */
  readonly identity?: string;
  readonly by?: "token" | "certificate";
  /** Whose certificate a node's agent asks for. */
  readonly impersonated?: string;
}

export interface Audit {
  issued(subject: AuditSubject, certificate: Omit<IssuedCertificate, "chain">): void;
  refused(subject: AuditSubject, code: string, reason: string): void;
}

const maxReasonLength = 500;

export function certificateAudit(log: Logger): Audit {
  return {
    issued: (subject, { serialNumber, notBeforeMs, notAfterMs }) =>
      log.info("certificate issued", {
        ...fields(subject),
        serial: serialNumber,
        notBefore: new Date(notBeforeMs).toISOString(),
        notAfter: new Date(notAfterMs).toISOString(),
      }),
    refused: (subject, code, reason) =>
      log.warn("certificate refused", { ...fields(subject), code, reason: reason.slice(0, maxReasonLength) }),
  };
}

function fields({ peer, identity, by, impersonated }: AuditSubject): Record<string, string | undefined> {
  return { identity, impersonated, by, peer };
}
