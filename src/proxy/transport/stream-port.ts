// A port over Node's documented socket streams. The fallback: handle-port.ts does the same for less.
import type { Socket } from "node:net";
import type { Port, PortUser } from "./port.ts";

export class StreamPort implements Port {
  /** Streams end with their first error. */
  readonly writeFailure: null = null;
  readonly #socket: Socket;
  readonly #user: PortUser;
  readonly #onSent: () => void;

  constructor(socket: Socket, user: PortUser) {
    this.#socket = socket;
    this.#user = user;
    this.#onSent = () => this.#user.onPortSent();
  }

  get unsentBytes(): number {
    return this.#socket.writableLength;
  }

  get queueBytes(): number {
    const unsent = this.#socket.writableLength;
    const handle: unknown = unsent === 0 ? null : Reflect.get(this.#socket, "_handle");
    const isTold = typeof handle === "object" && handle !== null && "writeQueueSize" in handle;
    return isTold ? unsent + Number(handle.writeQueueSize) : unsent;
  }

  startReading(): void {
    this.#socket.on("data", (data: Buffer) => this.#user.onPortData(data));
    // Accepted sockets are born paused.
    this.#socket.resume();
  }

  lendReads(): void {
    // A stream gives its bytes away.
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  sendText(text: string): void {
    this.#socket.write(text, "latin1", this.#onSent);
  }

  sendChunks(chunks: readonly (string | Buffer)[]): void {
    const socket = this.#socket;
    const last = chunks.length - 1;
    socket.cork();
    for (let i = 0; i <= last; i++) {
      const chunk = chunks[i]!;
      const onSent = i === last ? this.#onSent : undefined;
      if (typeof chunk === "string") socket.write(chunk, "latin1", onSent);
      else socket.write(chunk, onSent);
    }
    socket.uncork();
  }

  end(): void {
    this.#socket.end();
  }

  closed(): void {}
  outliveFailedWrites(): void {}
}
