// The one error class. A code names what failed; each part keeps a table of its codes in `errors.ts`.
// Compare by code through the cause chain with `hasCode`, never with instanceof.

export class OutriggerError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "OutriggerError";
    this.code = code;
  }
}

/** Tells whether the error, or one of its causes, carries the code (also Node's own, as ECONNREFUSED). */
export function hasCode(error: unknown, code: string): boolean {
  for (let current = error; typeof current === "object" && current !== null; ) {
    if ("code" in current && current.code === code) return true;
    current = "cause" in current ? current.cause : undefined;
  }
  return false;
}

/** The message of anything that was thrown, with its causes, in one line. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? "" : `: ${describeError(error.cause)}`;
  return `${error.message}${cause}`;
}

/** Fails on a broken invariant of ours. External input is never asserted. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new OutriggerError("INVARIANT", message);
}
