// Collects changes until it is quiet for a moment, or the first has waited long enough. Changes of endpoints alone wait
// less: they come in bursts of one, and traffic is waiting for them. What is done for a batch takes a bounded share of the
// time: after it the next one waits a multiple of how long it took, so that a steady stream comes in larger batches.
import type { Clock } from "#base/time/clock.ts";

export interface DebounceSettings {
  readonly quietMs: number;
  readonly urgentQuietMs: number;
  readonly maxMs: number;
}

/** Istio's PILOT_DEBOUNCE_AFTER and PILOT_DEBOUNCE_MAX. */
/** Of the time at most a third is spent on what batches are for. */
const restFactor = 2;
const maxRestMs = 1000;

export const defaultDebounce: DebounceSettings = { quietMs: 100, urgentQuietMs: 10, maxMs: 10_000 };

export class Debounce<T> {
  readonly #settings: DebounceSettings;
  readonly #clock: Clock;
  readonly #fire: (items: readonly T[], waitedMs: number) => void;
  #items: T[] = [];
  #sinceMs = 0;
  #hasPatient = false;
  #restsUntilMs = 0;
  #cancel: () => void = () => {};

  constructor(settings: DebounceSettings, clock: Clock, fire: (items: readonly T[], waitedMs: number) => void) {
    this.#settings = settings;
    this.#clock = clock;
    this.#fire = fire;
  }

  add(items: readonly T[], isUrgent: boolean): void {
    const now = this.#clock.now();
    if (this.#items.length === 0) this.#sinceMs = now;
    this.#items.push(...items);
    this.#hasPatient ||= !isUrgent;
    const quietMs = this.#hasPatient ? this.#settings.quietMs : this.#settings.urgentQuietMs;
    const quietUntilMs = Math.min(now + quietMs, this.#sinceMs + this.#settings.maxMs);
    const delayMs = Math.max(0, Math.max(quietUntilMs, this.#restsUntilMs) - now);
    this.#cancel();
    this.#cancel = this.#clock.after(delayMs, () => this.flush());
  }

  flush(): void {
    this.#cancel();
    if (this.#items.length === 0) return;
    const items = this.#items;
    this.#items = [];
    this.#hasPatient = false;
    const started = this.#clock.now();
    this.#fire(items, started - this.#sinceMs);
    const ended = this.#clock.now();
    this.#restsUntilMs = ended + Math.min(maxRestMs, (ended - started) * restFactor);
  }

  stop(): void {
    this.#cancel();
    this.#items = [];
  }
}
