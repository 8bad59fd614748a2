// HOT: per frame (bench/http2-codec.ts). Frames other than DATA, written into the output (RFC 9113 6).
import {
  CONTINUATION,
  END_HEADERS,
  FRAME_HEADER_BYTES,
  GOAWAY,
  PING,
  RST_STREAM,
  SETTINGS,
  SETTINGS_ENABLE_CONNECT_PROTOCOL,
  SETTINGS_ENABLE_PUSH,
  SETTINGS_HEADER_CASE,
  SETTINGS_HEADER_TABLE_SIZE,
  SETTINGS_INITIAL_WINDOW_SIZE,
  SETTINGS_MAX_CONCURRENT_STREAMS,
  SETTINGS_MAX_FRAME_SIZE,
  SETTINGS_MAX_HEADER_LIST_SIZE,
  WINDOW_UPDATE,
} from "./frame.ts";
import type { FrameOutput } from "./output.ts";
import type { Http2Settings } from "./settings.ts";

/** Our SETTINGS as a client, or as a server. */
export function writeSettings(out: FrameOutput, settings: Http2Settings, isClient: boolean): void {
  out.beginFrame(SETTINGS, 0, 0);
  setting(out, SETTINGS_HEADER_TABLE_SIZE, settings.headerTableSize);
  if (isClient) setting(out, SETTINGS_ENABLE_PUSH, 0);
  else setting(out, SETTINGS_MAX_CONCURRENT_STREAMS, settings.maxConcurrentStreams);
  setting(out, SETTINGS_INITIAL_WINDOW_SIZE, settings.streamWindow);
  setting(out, SETTINGS_MAX_FRAME_SIZE, settings.maxFrameSize);
  setting(out, SETTINGS_MAX_HEADER_LIST_SIZE, settings.limits.maxHeaderBytes);
  if (!isClient && settings.enableConnectProtocol) setting(out, SETTINGS_ENABLE_CONNECT_PROTOCOL, 1);
  if (isClient && settings.preserveHeaderCase) setting(out, SETTINGS_HEADER_CASE, 1);
  out.endFrame();
}

function setting(out: FrameOutput, id: number, value: number): void {
  out.uint16(id);
  out.uint32(value);
}

/** A PING with the number as its payload. */
export function writePing(out: FrameOutput, payload: number): void {
  out.beginFrame(PING, 0, 0);
  out.uint32(0);
  out.uint32(payload);
  out.endFrame();
}

export function writeReset(out: FrameOutput, streamId: number, code: number): void {
  out.beginFrame(RST_STREAM, 0, streamId);
  out.uint32(code);
  out.endFrame();
}

export function writeGoaway(out: FrameOutput, lastStreamId: number, code: number): void {
  out.beginFrame(GOAWAY, 0, 0);
  out.uint32(lastStreamId);
  out.uint32(code);
  out.endFrame();
}

export function writeWindowUpdate(out: FrameOutput, streamId: number, increment: number): void {
  out.beginFrame(WINDOW_UPDATE, 0, streamId);
  out.uint32(increment);
  out.endFrame();
}

/** Completes the HEADERS frame that was begun: cut into HEADERS and CONTINUATION where it is longer than `most`. */
export function endHeaders(out: FrameOutput, streamId: number, most: number): void {
  const length = out.at - out.frameStart - FRAME_HEADER_BYTES;
  if (length > most) splitHeaders(out, streamId, length, most);
  else out.endFrame();
}

function splitHeaders(out: FrameOutput, streamId: number, length: number, most: number): void {
  const start = out.frameStart;
  const flags = out.bytes[start + 4]!;
  const rest = Buffer.from(out.bytes.subarray(start + FRAME_HEADER_BYTES + most, out.at));
  out.bytes[start + 4] = flags & ~END_HEADERS;
  out.at = start + FRAME_HEADER_BYTES + most;
  out.endFrame();
  for (let at = 0; at < length - most; at += most) {
    const end = Math.min(at + most, rest.length);
    out.beginFrame(CONTINUATION, end === rest.length ? END_HEADERS : 0, streamId);
    out.copy(rest, at, end);
    out.endFrame();
  }
}
