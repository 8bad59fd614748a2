// Collects what is wrong with an object, field by field, in Kubernetes' words.

import { apiError } from "../../store/errors.ts";

export class Problems {
  readonly #messages: string[] = [];

  required(path: string): void {
    this.#messages.push(`${path}: Required value`);
  }

  invalid(path: string, value: unknown, reason: string): void {
    this.#messages.push(`${path}: Invalid value: ${JSON.stringify(value) ?? "null"}: ${reason}`);
  }

  forbidden(path: string, reason: string): void {
    this.#messages.push(`${path}: Forbidden: ${reason}`);
  }

  /** Throws INVALID with everything that was collected. */
  throwIfAny(kind: string, name: string): void {
    if (this.#messages.length === 0) return;
    const list = this.#messages.length === 1 ? this.#messages[0] : `[${this.#messages.join(", ")}]`;
    throw apiError("INVALID", `${kind} "${name}" is invalid: ${list}`);
  }
}
