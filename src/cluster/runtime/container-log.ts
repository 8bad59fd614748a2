// What a container's run wrote: lines with their time, the newest in memory, all of them (up to a limit) in a file in
// the form of Kubernetes' container logs.

import { closeSync, mkdirSync, openSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import type { Clock } from "#base/time/clock.ts";

export interface LogLine {
  readonly timeMs: number;
  readonly stream: "stdout" | "stderr";
  readonly text: string;
}

const maxRingBytes = 1 << 20;
const maxFileBytes = 16 << 20;
const maxLineBytes = 16 << 10;

export class ContainerLog {
  readonly #clock: Clock;
  readonly #lines: LogLine[] = [];
  readonly #listeners = new Set<(line: LogLine | undefined) => void>();
  readonly #partial = { stdout: "", stderr: "" };
  readonly #decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  #ringBytes = 0;
  #fileBytes = 0;
  #file: number | undefined;
  #isEnded = false;

  constructor(clock: Clock, path?: string) {
    this.#clock = clock;
    if (path === undefined) return;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    this.#file = openSync(path, "w", 0o600);
  }

  get lines(): readonly LogLine[] {
    return this.#lines;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  write(stream: "stdout" | "stderr", chunk: Buffer): void {
    const timeMs = this.#clock.now();
    const text = this.#partial[stream] + this.#decoders[stream].decode(chunk, { stream: true });
    const parts = text.split("\n");
    const rest = parts.pop() ?? "";
    let written = "";
    for (const part of parts) written += this.#append({ timeMs, stream, text: part });
    // A line without an end must not grow without one.
    if (rest.length > maxLineBytes) {
      written += this.#append({ timeMs, stream, text: rest });
      this.#partial[stream] = "";
    } else {
      this.#partial[stream] = rest;
    }
    this.#save(written);
  }

  /** Nothing more will be written. */
  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    for (const stream of ["stdout", "stderr"] as const) {
      if (this.#partial[stream] !== "")
        this.#save(this.#append({ timeMs: this.#clock.now(), stream, text: this.#partial[stream] }));
    }
    for (const listener of this.#listeners) listener(undefined);
    this.#listeners.clear();
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }

  /** Calls back with each new line, and with undefined at the end; returns the unsubscribe function. */
  follow(listener: (line: LogLine | undefined) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The last lines as one text, to explain an end. */
  tail(count: number): string {
    return this.#lines
      .slice(-count)
      .map((line) => line.text)
      .join("\n")
      .slice(-2_048);
  }

  #append(line: LogLine): string {
    this.#lines.push(line);
    this.#ringBytes += line.text.length + 64;
    if (this.#ringBytes > maxRingBytes) this.#forget();
    for (const listener of this.#listeners) listener(line);
    return this.#file === undefined ? "" : `${new Date(line.timeMs).toISOString()} ${line.stream} F ${line.text}\n`;
  }

  /** Drops a quarter at once, so that it does not happen for each line. */
  #forget(): void {
    let count = 0;
    while (this.#ringBytes > maxRingBytes * 0.75 && count < this.#lines.length) {
      this.#ringBytes -= (this.#lines[count]?.text.length ?? 0) + 64;
      count++;
    }
    this.#lines.splice(0, count);
  }

  #save(text: string): void {
    if (this.#file === undefined || text === "" || this.#fileBytes > maxFileBytes) return;
    this.#fileBytes += Buffer.byteLength(text);
    try {
      writeSync(this.#file, text);
    } catch {
      this.#fileBytes = Number.POSITIVE_INFINITY; // the disk is full: the lines in memory remain
    }
  }
}
