// One question to one endpoint, whatever the protocol. A probe is asked again and again and may keep its connection.
export interface Probe {
  /** Asks. The answer comes later, exactly once, unless the probe is stopped before. */
  ask(answered: (answer: ProbeAnswer) => void): void;
  /** Gives up the question under way: the time is over. */
  abort(): void;
  /** Ends; nothing is answered any more. */
  stop(): void;
}

export interface ProbeAnswer {
  /** `refused`: an answer that makes unhealthy at once. `failed`: counts towards the threshold. */
  readonly outcome: "passed" | "degraded" | "refused" | "failed" | "unreachable" | "timeout";
  /** Why, in words; empty when it passed. */
  readonly words: string;
  /** Asks to be left out of the reckoning of panic and spillover. */
  readonly isExcluded: boolean;
  /** Answered by another service than the one that is meant. */
  readonly isOtherService: boolean;
}

export const passed: ProbeAnswer = { outcome: "passed", words: "", isExcluded: false, isOtherService: false };

export function failure(outcome: ProbeAnswer["outcome"], words: string): ProbeAnswer {
  return { outcome, words, isExcluded: false, isOtherService: false };
}

/** Whether the parts are in the bytes, in order; anything may be between them. */
export function containsInOrder(bytes: Buffer, parts: readonly Buffer[]): boolean {
  let from = 0;
  for (const part of parts) {
    const at = bytes.indexOf(part, from);
    if (at < 0) return false;
    from = at + part.length;
  }
  return true;
}
