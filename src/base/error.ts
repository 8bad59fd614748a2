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

/** A part's table of its codes, in its `errors.ts`: what each means and what the operator can do. */
export type ErrorTable = Readonly<Record<string, { readonly meaning: string; readonly action: string }>>;

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
  const cause = error.cause === undefined ? "" : describeError(error.cause);
  return cause === "" || error.message.includes(cause) ? error.message : `${error.message}: ${cause}`;
}
