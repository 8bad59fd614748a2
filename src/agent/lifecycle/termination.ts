// What a proxy does from SIGTERM to its end, as a pure state machine.
//   running  --drain-->     draining   (a native sidecar's preStop: no new work, the application still stops)
//   running, draining --terminate--> terminating   (the time to let connections end begins)
//   terminating --time over, or no connection left after the minimum--> stopped
//   terminating --terminate--> stopped   (a second signal means now)

export interface TerminationPolicy {
  /** How long connections may go on after SIGTERM. */
  readonly terminationDrainMs: number;
  /** Wait for the last connection instead, however long that takes. */
  readonly exitOnZeroActiveConnections: boolean;
  /** With that: not before this long has passed, so that late connections are still served. */
  readonly minimumDrainMs: number;
}

export type TerminationState =
  | { readonly phase: "running" }
  | { readonly phase: "draining"; readonly sinceMs: number }
  | { readonly phase: "terminating"; readonly sinceMs: number }
  | { readonly phase: "stopped" };

export type TerminationEvent =
  | { readonly type: "drain"; readonly nowMs: number }
  | { readonly type: "terminate"; readonly nowMs: number }
  | { readonly type: "check"; readonly nowMs: number; readonly activeConnections: number };

type TerminationAction =
  | { readonly type: "drain" }
  | { readonly type: "check-after"; readonly delayMs: number }
  | { readonly type: "stop" };

export interface TerminationStep {
  readonly state: TerminationState;
  readonly actions: readonly TerminationAction[];
}

/** How often connections are counted. */
const checkIntervalMs = 1_000;

export const initialTermination: TerminationState = { phase: "running" };

export function terminationStep(
  state: TerminationState,
  event: TerminationEvent,
  policy: TerminationPolicy,
): TerminationStep {
  switch (event.type) {
    case "drain":
      return state.phase === "running"
        ? { state: { phase: "draining", sinceMs: event.nowMs }, actions: [{ type: "drain" }] }
        : { state, actions: [] };
    case "terminate":
      return terminate(state, event.nowMs, policy);
    case "check":
      return state.phase === "terminating" ? check(state, event, policy) : { state, actions: [] };
  }
}

function terminate(state: TerminationState, nowMs: number, policy: TerminationPolicy): TerminationStep {
  if (state.phase === "stopped") return { state, actions: [] };
  if (state.phase === "terminating") return stopped;
  const wait = policy.exitOnZeroActiveConnections ? policy.minimumDrainMs : policy.terminationDrainMs;
  const drain: TerminationAction[] = state.phase === "running" ? [{ type: "drain" }] : [];
  return {
    state: { phase: "terminating", sinceMs: nowMs },
    actions: [...drain, { type: "check-after", delayMs: wait }],
  };
}

function check(
  state: TerminationState & { readonly phase: "terminating" },
  event: TerminationEvent & { readonly type: "check" },
  policy: TerminationPolicy,
): TerminationStep {
  const elapsed = event.nowMs - state.sinceMs;
  const wait = policy.exitOnZeroActiveConnections ? policy.minimumDrainMs : policy.terminationDrainMs;
  if (elapsed < wait) return { state, actions: [{ type: "check-after", delayMs: wait - elapsed }] };
  if (!policy.exitOnZeroActiveConnections || event.activeConnections === 0) return stopped;
  return { state, actions: [{ type: "check-after", delayMs: checkIntervalMs }] };
}

const stopped: TerminationStep = { state: { phase: "stopped" }, actions: [{ type: "stop" }] };
