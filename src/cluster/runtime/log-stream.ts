// A container's log as a stream, with the options of `kubectl logs`.

import { Readable } from "node:stream";
import type { ContainerLog, LogLine } from "./container-log.ts";

export interface LogStreamOptions {
  readonly follow: boolean;
  readonly timestamps: boolean;
  readonly tailLines?: number;
  readonly sinceSeconds?: number;
  readonly limitBytes?: number;
}

/** How much a reader may be behind before lines are dropped. */
const maxPendingBytes = 4 << 20;

export function logStream(log: ContainerLog, options: LogStreamOptions, nowMs: number): Readable {
  let left = options.limitBytes ?? Number.POSITIVE_INFINITY;
  let unsubscribe: (() => void) | undefined;
  const stream = new Readable({
    read: () => {
      // Lines are pushed as they come.
    },
    destroy: (error, callback) => {
      unsubscribe?.();
      callback(error);
    },
  });
  const push = (line: LogLine): void => {
    if (left <= 0 || stream.readableLength > maxPendingBytes) return;
    const bytes = Buffer.from(formatLine(line, options.timestamps)).subarray(0, left);
    left -= bytes.length;
    stream.push(bytes);
  };
  for (const line of selectLines(log.lines, options, nowMs)) push(line);
  if (!options.follow || log.isEnded || left <= 0) {
    stream.push(null);
    return stream;
  }
  unsubscribe = log.follow((line) => {
    if (line !== undefined && left > 0) push(line);
    if (line !== undefined && left > 0) return;
    unsubscribe?.();
    stream.push(null);
  });
  return stream;
}

function selectLines(lines: readonly LogLine[], options: LogStreamOptions, nowMs: number): readonly LogLine[] {
  const { sinceSeconds, tailLines } = options;
  const recent =
    sinceSeconds === undefined ? lines : lines.filter((line) => line.timeMs >= nowMs - sinceSeconds * 1000);
  if (tailLines === undefined) return recent;
  return tailLines <= 0 ? [] : recent.slice(-tailLines);
}

function formatLine(line: LogLine, timestamps: boolean): string {
  return timestamps ? `${new Date(line.timeMs).toISOString()} ${line.text}\n` : `${line.text}\n`;
}
