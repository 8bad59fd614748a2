// The codes of what commands fail with, apart from wrong usage: what they mean and what the operator can do.
import type { ErrorTable } from "#base/error.ts";

export const cliErrors: ErrorTable = {
  SANDBOX_FAILED: {
    meaning: "The embedded cluster's processes ended.",
    action: "Read what they said: in the message, and in cluster.log of the state directory.",
  },
  APPLY_FAILED: {
    meaning: "The embedded cluster did not take an object of the mesh itself.",
    action: "The message names the object and the reason; `outrigger down` and a fresh state directory start anew.",
  },
  NOT_READY: {
    meaning: "Something did not become ready in time.",
    action: "`outrigger status` and `outrigger logs` say what it waits for.",
  },
  POD_UNREACHABLE: {
    meaning: "A pod's port gave no answer.",
    action: "Check with `outrigger status` that the pod runs; its log says why it does not answer.",
  },
  POD_ANSWER: {
    meaning: "A pod answered a question of the CLI with an error.",
    action: "The message holds the answer; a sidecar of another version may not know the question.",
  },
};
