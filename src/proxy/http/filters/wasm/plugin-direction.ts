// One direction of a stream on its way through a plugin: what the module's answers mean for head, body and end.
//
// A head that the module stops waits here. Either everything waits with it (`StopAllIteration...`, the default for any
// stop): data is put aside and not shown. Or only the head waits: the module is shown the body, and its first Continue
// sends the head on too. A body that the module stops is kept here. An end that it stops waits with all that was kept.
import type { Headers } from "#wire/http/headers.ts";
import { DataStatus, HeadersStatus } from "../../../wasm/abi.ts";
import { KeptBody } from "../../../wasm/kept-body.ts";
import { ABSENT, FAILED } from "../../../wasm/vm.ts";
import { CONTINUE, DONE, HOLD, PAUSE, type Verdict } from "../../filter.ts";

/** The stream and the module, seen from one direction. */
export interface DirectionSide {
  readonly allowsHeadersStop: boolean;
  readonly maxBodyBytes: number;
  callHeaders(end: boolean): number;
  callBody(bytes: number, end: boolean): number;
  callTrailers(trailers: Headers): number;
  /** Sends data on to the next filters; they hold it while the head waits. */
  send(data: Buffer): void;
  /** Lets head and end go on from where they wait. */
  resume(): void;
  /** Asks the sender to stop, and takes that back. */
  pause(): void;
  unpause(): void;
  /** What the head says of the body's length; -1 for nothing. */
  declaredLength(): number;
  forgetLength(): void;
  /** These two end the stream. */
  onTooLarge(): void;
  onLengthMismatch(): void;
}

const nothing = Buffer.alloc(0);

export class PluginDirection {
  readonly body: KeptBody = new KeptBody();
  /** The end has been shown to the module, or is being shown. */
  hasEnd = false;
  /** The message has begun to pass. */
  hasBegun = false;
  readonly #side: DirectionSide;
  /** Nothing is to be done any more: the stream was answered, closed or is complete. */
  #isOver = false;
  /** The VM has failed and the stream goes on without it. */
  #isBypassed = false;
  #isHeadStopped = false;
  #isEndStopped = false;
  /** Everything waits with the head. */
  #stopsAll = false;
  #pending: Buffer[] = [];
  #isEndPending = false;
  /** Those of an end that waits. */
  #trailers: Headers | null = null;
  #isPaused = false;
  #isCalling = false;
  #mayGoOn = false;
  /** No body follows the head. */
  #isHeadOnly = false;
  #declaredLength = -1;
  #bytesIn = 0;
  #bytesOut = 0;

  constructor(side: DirectionSide) {
    this.#side = side;
  }

  /** The module may see and change the head. */
  get hasHead(): boolean {
    return this.#isHeadStopped;
  }

  /** The head waits for the plugin to be loaded. */
  waitWithHead(): Verdict {
    this.hasBegun = true;
    this.#stopAll();
    return HOLD;
  }

  onHeaders(end: boolean): Verdict {
    this.hasBegun = true;
    if (this.#isBypassed) return CONTINUE;
    const verdict = this.#askForHead(end);
    if (verdict === CONTINUE) this.#passHead();
    return verdict;
  }

  /** As `onHeaders`, for a head that was made to wait. */
  onHeadersLater(end: boolean): void {
    const verdict = this.#askForHead(end);
    if (this.#isOver || this.#isBypassed) return;
    if (verdict === CONTINUE) this.#goOn();
    else if (!this.#stopsAll) this.#showPending(false);
  }

  #askForHead(end: boolean): Verdict {
    this.#isHeadOnly = end;
    this.#isHeadStopped = true;
    const status = this.#call(() => this.#side.callHeaders(end));
    if (this.#isOver) return DONE;
    if (status === HeadersStatus.Continue || status === HeadersStatus.ContinueAndEndStream) return CONTINUE;
    if (status === HeadersStatus.StopIteration && this.#side.allowsHeadersStop) this.#stopsAll = false;
    else this.#stopAll();
    return HOLD;
  }

  #stopAll(): void {
    this.#isHeadStopped = true;
    this.#stopsAll = true;
    this.#pause();
  }

  /** Gives what goes on; null for nothing. */
  onData(data: Buffer): Buffer | null {
    if (this.#isOver) return null;
    if (this.#isBypassed) return data;
    if (this.#stopsAll) {
      this.#pending.push(data);
      return null;
    }
    const out = this.#showData(data);
    // The module's first Continue sends a head on that has waited for it.
    if (out !== null && this.#isHeadStopped) this.#resume();
    return this.#isOver ? null : out;
  }

  #showData(data: Buffer): Buffer | null {
    this.#bytesIn += data.length;
    const bytes = this.body.show(data);
    const status = this.#call(() => this.#side.callBody(bytes, false));
    if (this.#isOver) return null;
    if (status === DataStatus.Continue) return this.#count(this.body.take());
    this.#keep(status);
    return null;
  }

  #keep(status: number): void {
    if (status === DataStatus.StopIterationAndBuffer) {
      this.body.keep(true);
      if (this.body.length > this.#side.maxBodyBytes) this.#side.onTooLarge();
    } else if (status === DataStatus.StopIterationAndWatermark) {
      this.body.keep(false);
      if (this.body.length > this.#side.maxBodyBytes) this.#pause();
    } else {
      this.body.drop();
    }
  }

  onEnd(trailers: Headers | null): Verdict {
    if (this.#isOver) return DONE;
    if (this.#isBypassed) return CONTINUE;
    if (this.#stopsAll || (this.#isHeadStopped && this.#isHeadOnly)) {
      this.#isEndPending = true;
      this.#trailers = trailers;
      return PAUSE;
    }
    if (!this.#showEnd(trailers)) return this.#isOver ? DONE : PAUSE;
    if (this.#isHeadStopped) this.#resume();
    return this.#isOver ? DONE : CONTINUE;
  }

  /** Shows the end. True when it may go on, behind what was kept. */
  #showEnd(trailers: Headers | null): boolean {
    if (this.#isHeadOnly) return true;
    this.hasEnd = true;
    const status = this.#askForEnd(trailers);
    if (this.#isOver) return false;
    if (status !== 0) {
      this.#isEndStopped = true;
      return false;
    }
    return this.#sendKept() && this.#isWhole();
  }

  #askForEnd(trailers: Headers | null): number {
    if (trailers !== null) return this.#call(() => this.#side.callTrailers(trailers));
    const bytes = this.body.show(nothing);
    const status = this.#call(() => this.#side.callBody(bytes, true));
    if (status !== DataStatus.Continue && !this.#isOver) this.#keep(status);
    return status;
  }

  /** The module wants to go on. While it runs, that is the answer of its present callback. */
  goOn(): void {
    if (this.#isOver || this.#isBypassed) return;
    if (this.#isCalling) this.#mayGoOn = true;
    else this.#goOn();
  }

  #goOn(): void {
    if (this.#stopsAll) {
      this.#stopsAll = false;
      this.#showPending(true);
    } else if (this.#sendKept() && (this.#isHeadStopped || this.#isEndStopped)) {
      if (!this.#isEndStopped || this.#isWhole()) this.#resume();
    }
    if (!this.#isOver) this.#unpause();
  }

  /** Shows what came while everything waited. The head goes on when it may, or when the module now lets the body pass. */
  #showPending(mayPass: boolean): void {
    let passes = mayPass;
    const pending = this.#pending;
    this.#pending = [];
    for (const data of pending) {
      const out = this.#showData(data);
      if (this.#isOver) return;
      if (out === null) continue;
      this.#side.send(out);
      passes = true;
    }
    if (this.#isEndPending && (passes || !this.#isHeadOnly)) {
      this.#isEndPending = false;
      // An end that stops keeps the head too, because both wait in one place.
      if (!this.#showEnd(this.#trailers)) return;
      passes = true;
    }
    if (passes) this.#resume();
    this.#unpause();
  }

  /** The VM has failed and the stream goes on without it. */
  bypass(): void {
    if (this.#isOver || this.#isBypassed) return;
    this.#isBypassed = true;
    // A callback that is running ends as if the module had let everything pass.
    if (this.#isCalling) return;
    this.#stopsAll = false;
    const kept = this.body.take();
    if (kept.length > 0) this.#side.send(kept);
    for (const data of this.#pending) this.#side.send(data);
    this.#pending = [];
    if (this.#isHeadStopped || this.#isEndStopped) this.#resume();
    this.#unpause();
  }

  /** Nothing of this direction concerns the plugin any more. */
  end(): void {
    this.#isOver = true;
    this.#pending = [];
    this.body.take();
  }

  #resume(): void {
    this.#isEndStopped = false;
    this.#isEndPending = false;
    this.#passHead();
    this.#side.resume();
  }

  #passHead(): void {
    if (!this.#isHeadStopped) return;
    this.#isHeadStopped = false;
    // What the module has made of the body so far may have another length than the head says.
    if (this.#bytesOut + this.body.length !== this.#bytesIn) this.#side.forgetLength();
    this.#declaredLength = this.#side.declaredLength();
  }

  /** False when that was the end of the stream. */
  #sendKept(): boolean {
    const kept = this.#count(this.body.take());
    if (kept !== null && kept.length > 0) this.#side.send(kept);
    return !this.#isOver;
  }

  /** Counts what goes on. Null when it is more than the head has announced, which ends the stream. */
  #count(data: Buffer): Buffer | null {
    this.#bytesOut += data.length;
    if (this.#isHeadStopped || this.#declaredLength < 0 || this.#bytesOut <= this.#declaredLength) return data;
    this.#side.onLengthMismatch();
    return null;
  }

  /** Whether the body has the length that the head has announced, as far as that is the module's doing. */
  #isWhole(): boolean {
    const declared = this.#declaredLength;
    if (this.#isHeadStopped || declared < 0) return true;
    if (this.#bytesIn !== declared || this.#bytesOut === declared) return true;
    this.#side.onLengthMismatch();
    return false;
  }

  /** One callback. 0 also where there is none, where the VM failed in it, and where the module asked to go on. */
  #call(callback: () => number): number {
    this.#isCalling = true;
    this.#mayGoOn = false;
    const status = callback();
    this.#isCalling = false;
    return status === ABSENT || status === FAILED || this.#mayGoOn ? 0 : status;
  }

  #pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#side.pause();
  }

  #unpause(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#side.unpause();
  }
}
