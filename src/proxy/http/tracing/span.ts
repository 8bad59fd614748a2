// One span: a request as this proxy saw it, or one attempt at an upstream.
import { randomBytes } from "node:crypto";
import type { SentContext } from "./trace-context.ts";

interface SpanStart {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty: the first of its trace. */
  readonly parentId: string;
  readonly sampled: boolean;
  readonly traceState: string;
  readonly isClient: boolean;
  readonly name: string;
  readonly startMs: number;
  /** The id is the client's: Zipkin's shared spans. */
  readonly isShared: boolean;
}

export class Span implements SentContext {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string;
  readonly sampled: boolean;
  readonly traceState: string;
  readonly isClient: boolean;
  readonly isShared: boolean;
  readonly startMs: number;
  endMs = 0;
  name: string;
  /** HTTP's status; 0: no response was sent. */
  status = 0;
  readonly tags: Map<string, string> = new Map();
  /** When something happened, in milliseconds since 1970. */
  readonly events: { readonly name: string; readonly atMs: number }[] = [];

  constructor(start: SpanStart) {
    this.traceId = start.traceId;
    this.spanId = start.spanId;
    this.parentId = start.parentId;
    this.sampled = start.sampled;
    this.traceState = start.traceState;
    this.isClient = start.isClient;
    this.isShared = start.isShared;
    this.name = start.name;
    this.startMs = start.startMs;
  }
}

/** Hexadecimal digits. */
export function newId(bytes: 8 | 16): string {
  return randomBytes(bytes).toString("hex");
}
