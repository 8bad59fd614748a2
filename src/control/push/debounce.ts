// Collects changes until it is quiet for a moment, or the first has waited long enough. Changes of endpoints alone wait
// less: they come in bursts of one, and traffic is waiting for them. What is done for a batch takes a bounded share of the
// time: the next one waits for its end, and then half as long as it took, so that a steady stream comes in larger batches.
import type { Clock } from "#base/time/clock.ts";

export interface DebounceSettings {
  readonly quietMs: number;
  readonly urgentQuietMs: number;
  readonly maxMs: number;
}

/** Of the time at most two thirds are spent on what batches are for. */
const restFactor = 0.5;
/** A machine that is busy with other things makes it no shorter to rest. */
const maxRestMs = 250;

/** Istio's PILOT_DEBOUNCE_AFTER and PILOT_DEBOUNCE_MAX. */
export const defaultDebounce: DebounceSettings = { quietMs: 100, urgentQuietMs: 10, maxMs: 10_000 };

/** Does what a batch is for; a promise where that takes longer. */
type Fire<T> = (items: readonly T[], waitedMs: number) => Promise<void> | undefined;

export class Debounce<T> {
  readonly #settings: DebounceSettings;
  readonly #clock: Clock;
  readonly #fire: Fire<T>;
  #items: T[] = [];
  #sinceMs = 0;
  #hasPatient = false;
  #lastAddMs = 0;
  #restsUntilMs = 0;
  #isWorking = false;
  #cancel: () => void = () => {};

  constructor(settings: DebounceSettings, clock: Clock, fire: Fire<T>) {
    this.#settings = settings;
    this.#clock = clock;
    this.#fire = fire;
  }

  add(items: readonly T[], isUrgent: boolean): void {
    const now = this.#clock.now();
    if (this.#items.length === 0) this.#sinceMs = now;
    this.#items.push(...items);
    this.#hasPatient ||= !isUrgent;
    this.#lastAddMs = now;
    if (!this.#isWorking) this.#schedule();
  }

  #schedule(): void {
    const quietMs = this.#hasPatient ? this.#settings.quietMs : this.#settings.urgentQuietMs;
    const quietUntilMs = Math.min(this.#lastAddMs + quietMs, this.#sinceMs + this.#settings.maxMs);
    const delayMs = Math.max(0, Math.max(quietUntilMs, this.#restsUntilMs) - this.#clock.now());
    this.#cancel();
    this.#cancel = this.#clock.after(delayMs, () => this.#flush());
  }

  #flush(): void {
    this.#cancel();
    const items = this.#items;
    this.#items = [];
    this.#hasPatient = false;
    const started = this.#clock.now();
    const work = this.#fire(items, started - this.#sinceMs);
    if (work === undefined) return this.#rest(started);
    this.#isWorking = true;
    const done = (): void => {
      this.#isWorking = false;
      this.#rest(started);
      if (this.#items.length > 0) this.#schedule();
    };
    work.then(done, done);
  }

  #rest(startedMs: number): void {
    const endedMs = this.#clock.now();
    this.#restsUntilMs = endedMs + Math.min(maxRestMs, (endedMs - startedMs) * restFactor);
  }

  stop(): void {
    this.#cancel();
    this.#items = [];
  }
}
