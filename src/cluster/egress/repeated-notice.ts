// What happens a thousand times is told once a minute.
import type { Clock } from "#base/time/clock.ts";

const quietMs = 60_000;
const maxRemembered = 256;

export class RepeatedNotice {
  readonly #clock: Clock;
  readonly #toldAtByText = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether the text was not told within the last minute; from now on it was. */
  isDue(text: string): boolean {
    const nowMs = this.#clock.now();
    const toldAt = this.#toldAtByText.get(text);
    if (toldAt !== undefined && nowMs - toldAt < quietMs) return false;
    this.#toldAtByText.delete(text);
    this.#toldAtByText.set(text, nowMs);
    const oldest = this.#toldAtByText.keys().next().value;
    if (this.#toldAtByText.size > maxRemembered && oldest !== undefined) this.#toldAtByText.delete(oldest);
    return true;
  }
}
