// Collects what is wrong with an object, field by field, in Kubernetes' words.

import { apiError } from "../../store/errors.ts";

export interface FieldProblem {
  readonly path: string;
  /** The value that is refused; undefined where one is missing. */
  readonly value: unknown;
  /** As `Invalid value: "a b": must be a DNS name`. */
  readonly message: string;
}

export class Problems {
  readonly found: FieldProblem[] = [];

  required(path: string): void {
    this.found.push({ path, value: undefined, message: "Required value" });
  }

  invalid(path: string, value: unknown, reason: string): void {
    this.found.push({ path, value, message: `Invalid value: ${JSON.stringify(value) ?? "null"}: ${reason}` });
  }

  forbidden(path: string, reason: string): void {
    this.found.push({ path, value: undefined, message: `Forbidden: ${reason}` });
  }

  /** Throws INVALID with everything that was collected. */
  throwIfAny(kind: string, name: string): void {
    if (this.found.length === 0) return;
    const messages = this.found.map(({ path, message }) => `${path}: ${message}`);
    const list = messages.length === 1 ? messages[0] : `[${messages.join(", ")}]`;
    throw apiError("INVALID", `${kind} "${name}" is invalid: ${list}`);
  }
}
