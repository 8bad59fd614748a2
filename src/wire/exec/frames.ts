// The bytes of a command that runs in a container, once a connection has been upgraded to `outrigger-exec`: frames of
// one byte channel, four bytes length (big endian) and that much data. Channels are those of Kubernetes' remote
// command: 0 input (an empty frame ends it), 1 output, 2 errors, 3 the exit code as decimal text, which comes last.

export const execProtocol = "outrigger-exec";

export const ExecChannel = { Input: 0, Output: 1, Errors: 2, ExitCode: 3 } as const;
export type ExecChannel = (typeof ExecChannel)[keyof typeof ExecChannel];

export const maxFrameBytes = 1_048_576;
const headerBytes = 5;

export function encodeFrame(channel: ExecChannel, data: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(headerBytes + data.length);
  frame.writeUInt8(channel, 0);
  frame.writeUInt32BE(data.length, 1);
  frame.set(data, headerBytes);
  return frame;
}

/** Takes bytes as they come and calls back for each whole frame. */
export class FrameReader {
  readonly #onFrame: (channel: number, data: Buffer) => void;
  #pending: Buffer = Buffer.alloc(0);

  constructor(onFrame: (channel: number, data: Buffer) => void) {
    this.#onFrame = onFrame;
  }

  /** False when a frame is longer than allowed: the connection has to end. */
  push(bytes: Buffer): boolean {
    this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
    while (this.#pending.length >= headerBytes) {
      const length = this.#pending.readUInt32BE(1);
      if (length > maxFrameBytes) return false;
      if (this.#pending.length < headerBytes + length) return true;
      const channel = this.#pending.readUInt8(0);
      const data = this.#pending.subarray(headerBytes, headerBytes + length);
      this.#pending = this.#pending.subarray(headerBytes + length);
      this.#onFrame(channel, data);
    }
    return true;
  }
}
