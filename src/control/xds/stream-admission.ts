// Bounds how many streams begin per second: when thousands of proxies come at once (another replica ended), each is
// still served soon, those that have streams are served in between, and who cannot be admitted within the patience is
// told to come again. Istio's PILOT_MAX_REQUESTS_PER_SECOND.
import type { Clock } from "#base/time/clock.ts";
import { TokenBucket } from "#base/time/token-bucket.ts";

const stepMs = 100;

export class StreamAdmission {
  readonly #clock: Clock;
  readonly #rate: TokenBucket;
  readonly #maxWaiting: number;
  readonly #waiting: (() => void)[] = [];
  #isScheduled = false;

  /** Of a second's worth at once, and as many waiting as are admitted within the patience. */
  constructor(clock: Clock, perSecond: number, patienceMs = 10_000) {
    this.#clock = clock;
    const tokensPerFill = Math.max(1, (perSecond * stepMs) / 1000);
    this.#rate = new TokenBucket({ maxTokens: perSecond, tokensPerFill, fillIntervalMs: stepMs }, clock.now());
    this.#maxWaiting = (perSecond * patienceMs) / 1000;
  }

  /** Resolves with false when too many wait already. */
  async admit(): Promise<boolean> {
    if (this.#waiting.length === 0 && this.#rate.take(this.#clock.now())) return true;
    if (this.#waiting.length >= this.#maxWaiting) return false;
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
      this.#schedule();
    });
    return true;
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#clock.after(Math.max(1, this.#rate.untilFillMs(this.#clock.now())), () => {
      this.#isScheduled = false;
      while (this.#waiting.length > 0 && this.#rate.take(this.#clock.now())) this.#waiting.shift()?.();
      if (this.#waiting.length > 0) this.#schedule();
    });
  }
}
