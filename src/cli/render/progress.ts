// Progress of something longer than a second: a spinner line on a terminal, one plain line per step elsewhere.
import { styleText } from "node:util";

const frames = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

export class Progress {
  readonly #stream: NodeJS.WriteStream;
  readonly #startMs = Date.now();
  #timer: NodeJS.Timeout | undefined;
  #text = "";
  #frame = 0;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  /** Shows what goes on now; replaces what was shown before. */
  update(text: string): void {
    if (text === this.#text) return;
    this.#text = text;
    if (!this.#stream.isTTY) return;
    this.#draw();
    this.#timer ??= setInterval(() => this.#draw(), 100);
    this.#timer.unref();
  }

  /** Leaves a line for a step that is done. */
  done(text: string): void {
    this.clear();
    const seconds = ((Date.now() - this.#startMs) / 1000).toFixed(1).padStart(5);
    this.#stream.write(`${this.#style("green", "✓")} ${this.#style("dim", `${seconds}s`)}  ${text}\n`);
  }

  warn(text: string): void {
    this.clear();
    this.#stream.write(`${this.#style("yellow", "!")} ${text}\n`);
  }

  clear(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    if (this.#stream.isTTY && this.#text !== "") this.#stream.write("\r\x1b[K");
    this.#text = "";
  }

  #draw(): void {
    this.#frame = (this.#frame + 1) % frames.length;
    const width = (this.#stream.columns ?? 80) - 3;
    this.#stream.write(`\r\x1b[K${this.#style("cyan", frames[this.#frame] ?? "")} ${this.#text.slice(0, width)}`);
  }

  #style(format: "green" | "yellow" | "cyan" | "dim", text: string): string {
    return this.#stream.isTTY ? styleText(format, text) : text;
  }
}
