// Conditions of a status: what holds, or the problem for which it does not.

/** Why something is not as it was asked for: a reason in one word, and a sentence. */
export interface ApiProblem {
  readonly reason: string;
  readonly message: string;
}

export interface DesiredCondition {
  readonly type: string;
  readonly status: "True" | "False";
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
}

export interface ConditionSettings {
  /** What is said when all is well. */
  readonly reason: string;
  readonly message: string;
  readonly problem?: ApiProblem | undefined;
  /** The condition is bad news: False when all is well. */
  readonly negative?: boolean;
}

/** The conditions in the order of their types. */
export function conditions(
  generation: number,
  settings: Readonly<Record<string, ConditionSettings>>,
): DesiredCondition[] {
  return Object.entries(settings)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([type, { reason, message, problem, negative = false }]) => ({
      type,
      status: (problem === undefined) === negative ? "False" : "True",
      ...(problem ?? { reason, message }),
      observedGeneration: generation,
    }));
}
