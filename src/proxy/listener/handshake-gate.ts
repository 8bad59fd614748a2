// Lets TLS handshakes begin a few at a time. One costs about a millisecond of processor time, so a flood of them would
// keep every other connection waiting: a turn of the event loop begins at most ten, and the others take their turn. Of
// those in progress and waiting there is a greatest number; more are turned away.

/** As h2o does. */
const startsPerTurn = 10;

export class HandshakeGate {
  readonly #max: number;
  /** In progress or waiting. */
  #count = 0;
  #startedThisTurn = 0;
  #isTurnScheduled = false;
  #waiting: (() => void)[] = [];

  constructor(max = 4096) {
    this.#max = max;
  }

  get count(): number {
    return this.#count;
  }

  /** Calls back now or in a later turn; who entered leaves, once. False: there are too many. */
  enter(start: () => void): boolean {
    if (this.#count >= this.#max) return false;
    this.#count++;
    this.#scheduleTurn();
    if (this.#startedThisTurn < startsPerTurn) {
      this.#startedThisTurn++;
      start();
    } else {
      this.#waiting.push(start);
    }
    return true;
  }

  leave(): void {
    this.#count--;
  }

  #scheduleTurn(): void {
    if (this.#isTurnScheduled) return;
    this.#isTurnScheduled = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#isTurnScheduled = false;
    const now = this.#waiting.splice(0, startsPerTurn);
    this.#startedThisTurn = now.length;
    if (now.length > 0) this.#scheduleTurn();
    for (const start of now) start();
  }
}
