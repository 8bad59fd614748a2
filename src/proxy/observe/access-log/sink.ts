// Where access log lines go. Lines of one event loop turn leave in one write; a sink that cannot keep up loses lines
// and says how many, it never delays a request.
import { createWriteStream, type WriteStream } from "node:fs";
import type { Writable } from "node:stream";

export interface AccessLogSinkOptions {
  readonly stdout?: Writable;
  readonly stderr?: Writable;
  /** Told when a file cannot be written, once per file. */
  readonly onError?: (path: string, error: Error) => void;
}

/** Bytes that may wait in a stream before lines are dropped. */
const maxPendingBytes = 4 * 1024 * 1024;

export class AccessLogSink {
  readonly #options: AccessLogSinkOptions;
  readonly #targets = new Map<string, Target>();
  #isScheduled = false;
  droppedLines = 0;

  constructor(options: AccessLogSinkOptions = {}) {
    this.#options = options;
  }

  /** Queues a line that ends with its newline. */
  write(path: string, line: string): void {
    let target = this.#targets.get(path);
    if (target === undefined) {
      target = this.#open(path);
      this.#targets.set(path, target);
    }
    if (target.pending.length + target.stream.writableLength > maxPendingBytes) {
      this.droppedLines++;
      return;
    }
    target.pending += line;
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.flush());
  }

  /** Hands everything queued to the streams. */
  flush(): void {
    this.#isScheduled = false;
    for (const target of this.#targets.values()) {
      if (target.pending === "") continue;
      target.stream.write(target.pending);
      target.pending = "";
    }
  }

  async stop(): Promise<void> {
    this.flush();
    const files = [...this.#targets.values()].flatMap((target) => (target.file === null ? [] : [target.file]));
    await Promise.all(files.map((file) => new Promise<void>((resolve) => file.end(() => resolve()))));
    this.#targets.clear();
  }

  #open(path: string): Target {
    const { stdout = process.stdout, stderr = process.stderr, onError } = this.#options;
    if (path === "/dev/stdout") return { stream: stdout, file: null, pending: "" };
    if (path === "/dev/stderr") return { stream: stderr, file: null, pending: "" };
    const file = createWriteStream(path, { flags: "a", mode: 0o640 });
    file.on("error", (error) => onError?.(path, error));
    return { stream: file, file, pending: "" };
  }
}

interface Target {
  readonly stream: Writable;
  readonly file: WriteStream | null;
  pending: string;
}
