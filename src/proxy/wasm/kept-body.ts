// Bytes of a body that a plugin has asked to be kept, together with those that it is being shown.
import type { BodyBuffer } from "./stream-host.ts";

const nothing = Buffer.alloc(0);

export class KeptBody {
  /** Kept from before. */
  #kept: Buffer[] = [];
  #keptBytes = 0;
  /** What the plugin sees now; null outside of its callback. */
  #shown: ShownBody | null = null;
  /** The plugin sees all that was kept, as after `StopIterationAndBuffer`. */
  #showsAll = false;

  get length(): number {
    return this.#keptBytes + (this.#shown?.length ?? 0);
  }

  /** Begins a callback for a new chunk. Gives how many bytes the plugin sees. */
  show(data: Buffer): number {
    const seen = this.#showsAll ? Buffer.concat([...this.#kept, data]) : data;
    if (this.#showsAll) this.#forget();
    this.#shown = new ShownBody(seen);
    return seen.length;
  }

  /** Ends the callback, and keeps what was shown. */
  keep(showsAll: boolean): void {
    const bytes = this.#shown?.bytes ?? nothing;
    this.#shown = null;
    this.#showsAll = showsAll;
    if (bytes.length === 0) return;
    this.#kept.push(bytes);
    this.#keptBytes += bytes.length;
  }

  /** Ends the callback, and drops what was shown. */
  drop(): void {
    this.#shown = null;
    this.#showsAll = false;
  }

  /** Everything, in order, for the filters that follow. */
  take(): Buffer {
    if (this.#shown !== null) this.keep(false);
    this.#showsAll = false;
    const kept = this.#kept;
    this.#forget();
    return kept.length === 1 ? kept[0]! : Buffer.concat(kept);
  }

  /** What the plugin sees in its callback, and between two callbacks what it has asked to keep and see. */
  visible(): BodyBuffer | null {
    if (this.#shown !== null) return this.#shown;
    if (!this.#showsAll) return null;
    const bytes = this.#kept.length === 1 ? this.#kept[0]! : Buffer.concat(this.#kept);
    return new ShownBody(bytes, (changed) => {
      this.#kept = [changed];
      this.#keptBytes = changed.length;
    });
  }

  #forget(): void {
    this.#kept = [];
    this.#keptBytes = 0;
  }
}

class ShownBody implements BodyBuffer {
  bytes: Buffer;
  readonly #onChange: ((bytes: Buffer) => void) | null;

  constructor(bytes: Buffer, onChange: ((bytes: Buffer) => void) | null = null) {
    this.bytes = bytes;
    this.#onChange = onChange;
  }

  get length(): number {
    return this.bytes.length;
  }

  slice(start: number, end: number): Buffer {
    return this.bytes.subarray(start, end);
  }

  splice(start: number, end: number, bytes: Buffer): void {
    this.bytes = Buffer.concat([this.bytes.subarray(0, start), bytes, this.bytes.subarray(end)]);
    this.#onChange?.(this.bytes);
  }
}
