// The codes with which the sandbox and the node's tools say no: what they mean and what the operator can do.

import { type ErrorTable, OutriggerError } from "#base/error.ts";

export type SandboxErrorCode = "SANDBOX_FAILED" | "PORT_TAKEN" | "NOT_IN_SANDBOX" | "COMMAND_FAILED";

export const sandboxErrors: ErrorTable & Readonly<Record<SandboxErrorCode, unknown>> = {
  SANDBOX_FAILED: {
    meaning: "The sandbox's processes did not start, or ended.",
    action: "Read what they said; check the prerequisites.",
  },
  PORT_TAKEN: {
    meaning: "A port of the host cannot be listened on.",
    action: "End who listens there, or choose another port.",
  },
  NOT_IN_SANDBOX: {
    meaning: "A command that only runs inside the sandbox was started by hand.",
    action: "Use `outrigger up`.",
  },
  COMMAND_FAILED: {
    meaning: "A system tool (ip, iptables-restore, mount) refused.",
    action: "Its own words are in the message.",
  },
};

export function sandboxError(code: SandboxErrorCode, message: string, cause?: unknown): OutriggerError {
  return new OutriggerError(code, message, cause === undefined ? undefined : { cause });
}
