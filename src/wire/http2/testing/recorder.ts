// Events of a connection and of its streams, written down for tests.
import type { Headers } from "../../http/headers.ts";
import { errorName } from "../frame.ts";
import type { Http2Head } from "../head.ts";
import type { Http2Events } from "../owner.ts";
import type { Http2Stream, Http2StreamHandler } from "../stream.ts";

export class StreamRecorder implements Http2StreamHandler {
  head: Http2Head | null = null;
  readonly informational: number[] = [];
  body = "";
  bodyBytes = 0;
  trailers: [string, string][] | null = null;
  isEnd = false;
  resets: string[] = [];
  drains = 0;

  onHeaders(head: Http2Head, isEnd: boolean): void {
    this.head = head;
    this.isEnd = isEnd;
  }

  onInformational(head: Http2Head): void {
    this.informational.push(head.status);
  }

  onData(data: Buffer, isEnd: boolean): void {
    if (this.isEnd) this.resets.push("data after the end");
    this.body += data.toString("latin1");
    this.bodyBytes += data.length;
    this.isEnd = isEnd;
  }

  onTrailers(trailers: Headers): void {
    if (this.isEnd) this.resets.push("trailers after the end");
    this.trailers = lines(trailers);
    this.isEnd = true;
  }

  onReset(code: number, byPeer: boolean): void {
    this.resets.push(`${errorName(code)}${byPeer ? " by peer" : ""}`);
  }

  onDrain(): void {
    this.drains++;
  }
}

export interface RecordedRequest extends StreamRecorder {
  stream: Http2Stream;
}

export class EventRecorder implements Http2Events {
  readonly requests: RecordedRequest[] = [];
  readonly goaways: [number, string][] = [];
  readonly streamErrors: [number, string, string][] = [];
  readonly errors: [string, string][] = [];
  readonly tooLarge: Http2Stream[] = [];
  readonly malformed: string[] = [];
  settings = 0;
  drained = 0;
  /** What to do with a request, besides writing it down. */
  onRequest: ((request: RecordedRequest) => void) | null = null;
  onTooLarge: ((stream: Http2Stream) => void) | null = null;

  onStream(stream: Http2Stream, head: Http2Head, isEnd: boolean): void {
    const request = Object.assign(new StreamRecorder(), { stream });
    request.onHeaders(head, isEnd);
    stream.handler = request;
    this.requests.push(request);
    this.onRequest?.(request);
  }

  onHeadTooLarge(stream: Http2Stream): void {
    this.tooLarge.push(stream);
    this.onTooLarge?.(stream);
  }

  onMalformedRequest(_head: Http2Head, words: string): void {
    this.malformed.push(words);
  }

  onStreamError(streamId: number, code: number, words: string): void {
    this.streamErrors.push([streamId, errorName(code), words]);
  }

  onGoaway(lastStreamId: number, code: number): void {
    this.goaways.push([lastStreamId, errorName(code)]);
  }

  onSettings(): void {
    this.settings++;
  }

  onConnectionError(code: number, words: string): void {
    this.errors.push([errorName(code), words]);
  }

  onDrained(): void {
    this.drained++;
  }
}

export function lines(headers: Headers): [string, string][] {
  const result: [string, string][] = [];
  for (let i = 0; i < headers.length; i++) {
    if (!headers.isRemoved(i)) result.push([headers.nameAt(i), headers.valueAt(i)]);
  }
  return result;
}
