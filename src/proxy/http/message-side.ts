// The two directions of a stream under one name each, for what filters do alike in both.
import type { HttpFilter } from "./filter.ts";
import type { Stream } from "./stream.ts";

export interface MessageSide {
  send(stream: Stream, from: HttpFilter, data: Buffer): void;
  resume(stream: Stream): void;
  pause(stream: Stream): void;
  unpause(stream: Stream): void;
  /** A filter whose data and end hooks are those of this side. */
  filter(hooks: BodyHooks): HttpFilter;
}

interface BodyHooks {
  readonly onData: NonNullable<HttpFilter["onRequestData"]>;
  readonly onEnd: NonNullable<HttpFilter["onRequestEnd"]>;
  readonly onComplete: NonNullable<HttpFilter["onComplete"]>;
}

export const requestSide: MessageSide = {
  send: (stream, from, data) => stream.sendRequestData(from, data),
  resume: (stream) => stream.resumeRequest(),
  pause: (stream) => stream.pauseRequest(),
  unpause: (stream) => stream.unpauseRequest(),
  filter: ({ onData, onEnd, onComplete }) => ({ onRequestData: onData, onRequestEnd: onEnd, onComplete }),
};

export const responseSide: MessageSide = {
  send: (stream, from, data) => stream.sendResponseData(from, data),
  resume: (stream) => stream.resumeResponse(),
  pause: (stream) => stream.pauseResponse(),
  unpause: (stream) => stream.unpauseResponse(),
  filter: ({ onData, onEnd, onComplete }) => ({ onResponseData: onData, onResponseEnd: onEnd, onComplete }),
};
