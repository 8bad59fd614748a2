// HOT: per chunk of a coded body. The body of one message through a coder of node:zlib, for filters that compress and
// decompress. The coder works on a thread of its own; what it makes comes back as events of the loop, in order.
import type { Transform } from "node:stream";
import type { EventLoop } from "../transport/event-loop.ts";
import { CONTINUE, type HttpFilter, PAUSE, type Verdict } from "./filter.ts";
import type { MessageSide } from "./message-side.ts";
import type { Stream } from "./stream.ts";

/** A coder as node:zlib makes it. */
export type ZlibCoder = Transform & { flush(callback?: () => void): void };

/** Who made the coder is told of bytes, and of its failure. */
export interface CodingObserver {
  taken(bytes: number): void;
  /** False: this is too much, and the message fails. */
  made(bytes: number): boolean;
  failed(stream: Stream, reason: string): void;
}

export class CodedBody {
  /** To be attached to the stream. */
  readonly filter: HttpFilter;
  readonly #stream: Stream;
  readonly #side: MessageSide;
  readonly #coder: ZlibCoder;
  readonly #loop: EventLoop;
  readonly #observer: CodingObserver;
  #waiting = 0;
  #isEnded = false;
  #isPaused = false;
  #isOver = false;

  constructor(stream: Stream, side: MessageSide, coder: ZlibCoder, observer: CodingObserver) {
    this.#stream = stream;
    this.#side = side;
    this.#coder = coder;
    this.#loop = stream.manager.environment.loop;
    this.#observer = observer;
    this.filter = side.filter({
      onData: (_stream, data) => this.#write(data),
      onEnd: () => this.#end(),
      onComplete: () => this.#stop(),
    });
    coder.on("data", (data: Buffer) => this.#event(() => this.#coded(data)));
    coder.on("end", () => this.#event(() => this.#finished()));
    coder.on("drain", () => this.#event(() => this.#drained()));
    coder.on("error", (error: Error) => this.#event(() => this.#failed(error.message)));
  }

  #event(run: () => void): void {
    if (this.#isOver) return;
    this.#loop.enter();
    try {
      run();
    } catch (error) {
      this.#loop.onBroken(error);
    } finally {
      this.#loop.leave();
    }
  }

  #write(data: Buffer): null {
    if (this.#isOver || data.length === 0) return null;
    this.#observer.taken(data.length);
    this.#waiting++;
    if (!this.#coder.write(data, this.#onWritten) && !this.#isPaused) {
      this.#isPaused = true;
      this.#side.pause(this.#stream);
    }
    return null;
  }

  /** When nothing more is here, what is coded so far goes on: the peer may wait for it. */
  readonly #onWritten = (): void => {
    this.#waiting--;
    if (this.#waiting === 0 && !this.#isEnded && !this.#isOver) this.#coder.flush();
  };

  #end(): Verdict {
    if (this.#isOver) return CONTINUE;
    this.#isEnded = true;
    this.#coder.end();
    return PAUSE;
  }

  #coded(data: Buffer): void {
    if (data.length === 0) return;
    if (this.#observer.made(data.length)) this.#side.send(this.#stream, this.filter, data);
    else this.#failed("it makes more of the body than is allowed");
  }

  #drained(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#side.unpause(this.#stream);
  }

  #finished(): void {
    this.#stop();
    this.#side.resume(this.#stream);
  }

  #failed(reason: string): void {
    this.#stop();
    this.#observer.failed(this.#stream, reason);
  }

  #stop(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#coder.destroy();
  }
}
