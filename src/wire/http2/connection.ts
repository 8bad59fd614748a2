// HOT: per frame (bench/http2-codec.ts). One HTTP/2 connection (RFC 9113) as client or server, without a socket: bytes go in by `receive` and come
// out at `flush`, once per event-loop turn. Nothing here throws for what a peer does. An error of a stream resets it; an
// error of the connection sends GOAWAY, is told once, and whatever follows is dropped.
//
// Every limit on what a peer may cost is in Http2Limits; what has no place of its own there adds to the abuse score.
import type { Headers } from "../http/headers.ts";
import { AbuseScore } from "./abuse-score.ts";
import { ByteQueue } from "./byte-queue.ts";
import type { Http2CodecCounters } from "./codec-counters.ts";
import {
  ACK,
  CLIENT_PREFACE,
  COMPRESSION_ERROR,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  ENHANCE_YOUR_CALM,
  FLOW_CONTROL_ERROR,
  FRAME_HEADER_BYTES,
  FRAME_SIZE_ERROR,
  GOAWAY,
  HEADERS,
  INTERNAL_ERROR,
  NO_ERROR,
  PING,
  PROTOCOL_ERROR,
  REFUSED_STREAM,
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
  SETTINGS_TIMEOUT,
  STREAM_CLOSED,
  WINDOW_UPDATE,
} from "./frame.ts";
import { FrameReader, type FrameSink } from "./frame-reader.ts";
import type { Http2Head, PseudoHeaders } from "./head.ts";
import { HeadReader, REQUEST_HEAD, RESPONSE_HEAD, TRAILERS } from "./head-reader.ts";
import { HpackDecoder } from "./hpack/decoder.ts";
import { HpackEncoder } from "./hpack/encoder.ts";
import { type ByteSink, FrameOutput } from "./output.ts";
import type { Http2Limits, Http2Settings } from "./settings.ts";
import {
  CLOSED,
  HEAD_RECEIVED,
  HEAD_SENT,
  Http2Stream,
  type Http2StreamHandler,
  IGNORES_INPUT,
  IS_CONNECT,
  IS_HEAD,
  IS_TUNNEL,
  LOCAL_END,
  REMOTE_END,
} from "./stream.ts";
import { StreamTable } from "./stream-table.ts";

export interface Http2Sink extends ByteSink {
  /** The connection has output: its `flush` has to be called before the turn ends. Called once until then. */
  flushSoon(connection: Http2Connection): void;
  /** Milliseconds, coarse: read for deadlines and rates. */
  now(): number;
  /** Shared by as many connections as are counted together. */
  readonly counters: Http2CodecCounters;
}

export interface Http2Events {
  /** Server: a request. Sets the stream's handler, unless all is said already. */
  onStream(stream: Http2Stream, head: Http2Head, isEnd: boolean): void;
  /** Server: a request whose head passes the limits and was dropped. Answer it here, or it is reset. */
  onHeadTooLarge(stream: Http2Stream): void;
  /** Server: a malformed request, refused before it became a stream. What is wrong is not in the head. */
  onMalformedRequest(head: Http2Head, words: string, isFieldFault: boolean): void;
  /** A stream was reset because of what the peer sent. For logs and counters; its handler is told by itself. */
  onStreamError(streamId: number, code: number, words: string): void;
  /** The peer takes no new streams. Those above `lastStreamId` were reset as refused before. */
  onGoaway(lastStreamId: number, code: number): void;
  /** The peer's SETTINGS are in force. */
  onSettings(): void;
  /** The connection is over; GOAWAY is on its way. Close the socket after the output was flushed. */
  onConnectionError(code: number, words: string): void;
  /** Draining, and no stream is left. */
  onDrained(): void;
}

type FloodCounter = "inboundEmptyFramesFlood" | "inboundPriorityFramesFlood" | "inboundWindowUpdateFramesFlood";

export const CLIENT = 0;
export const SERVER = 1;

const largestWindow = 0x7fffffff;
const largestStreamId = 0x7fffffff;
const initialWindow = 65535;
/** Output of one turn above which it is handed on before the turn ends, to hear whether the socket still takes it. */
const handOnBytes = 64 * 1024;
/** Largest DATA frame, whatever the peer allows, so that streams take turns. */
const largestDataFrame = 64 * 1024;
/** Payload of the PING that measures a round trip for draining. */
const drainPing = 1;
/** What a late frame counts besides its payload. */
const lateFrameBytes = 256;
const noBytes: Buffer = Buffer.alloc(0);

export class Http2Connection implements FrameSink {
  readonly role: number;
  readonly settings: Http2Settings;
  /** True once the peer announced RFC 8441. */
  peerAllowsExtendedConnect = false;
  /** True once names of headers travel in the case in which they are written. */
  preservesCase = false;
  /** The largest head that the peer wants, decoded. */
  peerMaxHeaderBytes: number = Number.POSITIVE_INFINITY;
  readonly #limits: Http2Limits;
  readonly #sink: Http2Sink;
  readonly #counters: Http2CodecCounters;
  readonly #events: Http2Events;
  readonly #reader: FrameReader;
  readonly #out: FrameOutput = new FrameOutput();
  readonly #decoder: HpackDecoder;
  readonly #encoder: HpackEncoder;
  readonly #headReader: HeadReader;
  readonly #abuse: AbuseScore;
  readonly #streams: StreamTable = new StreamTable();
  #nextStreamId: number;
  /** Highest stream of the peer that we have seen. */
  #lastPeerStreamId = 0;
  /** Streams that were reset by us, as a ring. */
  #resets: Int32Array | null = null;
  #resetCount = 0;

  #isDirty = false;
  #isClosed = false;
  /** The socket takes no more for now. */
  #isBlocked = false;
  #blockedSince = 0;
  #queuedControls = 0;
  #queuedHeads = 0;

  #sendWindow = initialWindow;
  #receiveWindow = initialWindow;
  #credit = 0;
  #peerStreamWindow = initialWindow;
  #peerMaxFrameSize = 16384;
  #dataFrameSize = 16384;
  #peerMaxStreams: number;
  #ownStreamWindow: number;
  #settingsSentAt = 0;
  #hasPeerSettings = false;
  /** The number of the header block that was incomplete at the last sweep, and since when. */
  #unfinishedHead = 0;
  #unfinishedSince = 0;

  #goawayReceived = false;
  #isDraining = false;
  /** When a server began to drain, until it named the last stream. */
  #drainingSince = 0;
  /** The last stream that we serve; lower than the highest possible once we told the peer. */
  #lastServedStreamId = largestStreamId;
  #isDrainedTold = false;
  /** When a PING was sent whose answer did not come, or 0. */
  #pingSentAt = 0;

  #dataFramesSent = 0;
  #streamsOpened = 0;
  #dataFramesReceived = 0;
  /** Frames that come without a use of their own, and are borne in proportion to those that have one. */
  #windowUpdates = 0;
  #pings = 0;
  #priorities = 0;
  /** What may still arrive for streams that we reset: bytes, and some for each frame. */
  #lateBytes = 0;

  /** The stream of the DATA frame that is being read, or null where its bytes are dropped. */
  #dataStream: Http2Stream | null = null;
  #dataIsEnd = false;

  #firstWaiting: Http2Stream | null = null;
  #lastWaiting: Http2Stream | null = null;

  constructor(role: number, settings: Http2Settings, sink: Http2Sink, events: Http2Events) {
    const limits = settings.limits;
    this.role = role;
    this.settings = settings;
    this.#limits = limits;
    this.#sink = sink;
    this.#counters = sink.counters;
    this.#events = events;
    this.#nextStreamId = role === CLIENT ? 1 : 2;
    this.#peerMaxStreams = Math.min(settings.initialPeerStreams, settings.maxConcurrentStreams);
    this.#ownStreamWindow = Math.max(initialWindow, settings.streamWindow);
    this.#reader = new FrameReader(
      this,
      {
        maxFrameSize: settings.maxFrameSize,
        maxBlockBytes: limits.maxHeaderBytes * 2,
        maxContinuationFrames: limits.maxContinuationFrames,
      },
      role === SERVER,
    );
    this.preservesCase = role === CLIENT && settings.preserveHeaderCase;
    this.#decoder = new HpackDecoder(this.preservesCase);
    this.#encoder = new HpackEncoder({
      tableSize: settings.encoderTableSize,
      huffman: settings.huffman,
      preserveHeaderCase: this.preservesCase,
    });
    this.#headReader = new HeadReader(limits.maxHeaderBytes, limits.maxHeaderCount, this.preservesCase);
    this.#abuse = new AbuseScore(() => sink.now(), limits.abuseDecayPerSecond);
  }

  /** Sends the preface (RFC 9113 3.4). */
  start(): void {
    const settings = this.settings;
    const out = this.#out;
    if (this.role === CLIENT) out.copy(CLIENT_PREFACE, 0, CLIENT_PREFACE.length);
    out.beginFrame(SETTINGS, 0, 0);
    this.#setting(SETTINGS_HEADER_TABLE_SIZE, settings.headerTableSize);
    if (this.role === CLIENT) this.#setting(SETTINGS_ENABLE_PUSH, 0);
    else this.#setting(SETTINGS_MAX_CONCURRENT_STREAMS, settings.maxConcurrentStreams);
    this.#setting(SETTINGS_INITIAL_WINDOW_SIZE, settings.streamWindow);
    this.#setting(SETTINGS_MAX_FRAME_SIZE, settings.maxFrameSize);
    this.#setting(SETTINGS_MAX_HEADER_LIST_SIZE, this.#limits.maxHeaderBytes);
    if (this.role === SERVER && settings.enableConnectProtocol) this.#setting(SETTINGS_ENABLE_CONNECT_PROTOCOL, 1);
    if (this.preservesCase) this.#setting(SETTINGS_HEADER_CASE, 1);
    out.endFrame();
    this.#settingsSentAt = Math.max(1, this.#sink.now());
    const more = settings.connectionWindow - initialWindow;
    if (more > 0) this.#windowUpdate(0, more);
    this.#receiveWindow += Math.max(0, more);
    this.#dirty();
  }

  #setting(id: number, value: number): void {
    this.#out.uint16(id);
    this.#out.uint32(value);
  }

  // Input.

  /** Takes bytes of the peer. They may be kept by handlers of streams, so nobody may change them afterwards. */
  receive(data: Buffer): void {
    if (!this.#isClosed) this.#reader.read(data);
  }

  /** The socket is gone: all streams are reset. */
  connectionLost(): void {
    if (this.#isClosed) return;
    this.#stop();
    this.#resetAll(INTERNAL_ERROR, true, "the connection was lost");
  }

  /** The socket takes bytes again after `writeBytes` had returned false. */
  onSinkDrain(): void {
    if (!this.#isBlocked) return;
    this.#isBlocked = false;
    this.#blockedSince = 0;
    this.#queuedControls = 0;
    this.#queuedHeads = 0;
    this.#pump();
  }

  // State that the owner asks for.

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** True when there will be no new stream any more. */
  get isDraining(): boolean {
    return this.#isDraining || this.#goawayReceived || this.#nextStreamId > largestStreamId;
  }

  /** True when the peer's SETTINGS came. */
  get isReady(): boolean {
    return this.#hasPeerSettings;
  }

  get activeStreams(): number {
    return this.#streams.size;
  }

  get canOpenStream(): boolean {
    return (
      !this.#isClosed &&
      !this.#goawayReceived &&
      !this.#isDraining &&
      this.#streams.size < this.#peerMaxStreams &&
      this.#nextStreamId <= largestStreamId
    );
  }

  /** Received bytes that nobody took yet: they keep the window of the connection from all its streams. */
  get heldBytes(): number {
    return Math.max(initialWindow, this.settings.connectionWindow) - this.#receiveWindow - this.#credit;
  }

  /** Streams that the peer lets us have open. */
  get peerMaxStreams(): number {
    return this.#peerMaxStreams;
  }

  /** When the PING was sent that the peer did not answer yet, or 0. */
  get pingSentAt(): number {
    return this.#pingSentAt;
  }

  // What the owner asks for.

  /** Client: sends a request. Null when there may be no new stream now; see `canOpenStream`. */
  openStream(handler: Http2StreamHandler, head: PseudoHeaders, headers: Headers, isEnd: boolean): Http2Stream | null {
    if (this.role !== CLIENT || !this.canOpenStream) return null;
    const stream = new Http2Stream(this, this.#peerStreamWindow, this.#ownStreamWindow);
    stream.handler = handler;
    stream.id = this.#nextStreamId;
    this.#nextStreamId += 2;
    this.#streams.add(stream);
    this.#counters.streamsActive++;
    this.#streamsOpened++;
    stream.state = HEAD_SENT;
    if (head.method === "HEAD") stream.state |= IS_HEAD;
    else if (head.method === "CONNECT") stream.state |= IS_CONNECT;
    this.#out.beginFrame(HEADERS, END_HEADERS, stream.id);
    this.#encoder.encodeRequest(this.#out, head, headers);
    this.#sentBlock(stream, isEnd);
    return stream;
  }

  /** Asks the peer for a sign of life; see `pingSentAt`. */
  ping(): void {
    if (this.#isClosed || this.#pingSentAt !== 0) return;
    this.#pingSentAt = Math.max(1, this.#sink.now());
    this.#ping(0);
  }

  #ping(payload: number): void {
    const out = this.#out;
    out.beginFrame(PING, 0, 0);
    out.uint32(0);
    out.uint32(payload);
    out.endFrame();
    this.#dirty();
  }

  /**
   * Ends the connection when its streams are done. A server says so at once and names the last stream one round trip
   * later, so that no request on its way is lost (RFC 9113 6.8).
   */
  drain(): void {
    if (this.#isClosed || this.#isDraining) return;
    this.#isDraining = true;
    if (this.role === SERVER) {
      this.#counters.goawayGracefulSent++;
      this.#goaway(largestStreamId, NO_ERROR);
      this.#drainingSince = Math.max(1, this.#sink.now());
      this.#ping(drainPing);
    } else {
      this.#lastServedStreamId = 0;
    }
    this.#dirty();
  }

  #finishDrain(): void {
    if (this.#isClosed || this.#drainingSince === 0) return;
    this.#drainingSince = 0;
    this.#lastServedStreamId = this.#lastPeerStreamId;
    this.#goaway(this.#lastPeerStreamId, NO_ERROR);
  }

  /** Ends the connection and all its streams now. Flush, then close the socket. */
  close(code: number): void {
    if (this.#isClosed) return;
    this.#goaway(this.#lastPeerStreamId, code);
    this.#stop();
    this.#resetAll(code, false, "the connection was closed");
  }

  /** Looks for deadlines, and lets go of memory that an idle connection does not need; to be called now and then. */
  sweep(now: number): void {
    if (this.#isClosed) return;
    this.#out.releaseIfIdle();
    const limits = this.#limits;
    if (this.#settingsSentAt !== 0 && now - this.#settingsSentAt > limits.settingsTimeoutMs) {
      return this.#fail(SETTINGS_TIMEOUT, "SETTINGS were not acknowledged");
    }
    if (this.#sweepHead(now)) return this.#fail(ENHANCE_YOUR_CALM, "a header block that does not end");
    if (this.#drainingSince !== 0 && now - this.#drainingSince > limits.drainTimeoutMs) this.#finishDrain();
    if (this.#blockedSince !== 0 && now - this.#blockedSince > limits.stallTimeoutMs) {
      this.#counters.flushTimeouts++;
      return this.#fail(ENHANCE_YOUR_CALM, "the peer did not read");
    }
    for (const stream of this.#streams.list()) {
      if (stream.stalledSince !== 0 && now - stream.stalledSince > limits.stallTimeoutMs) {
        this.#counters.flushTimeouts++;
        this.#streamError(stream, ENHANCE_YOUR_CALM, "the peer did not read");
        if (this.#isClosed) return;
      }
    }
  }

  /** Whether the same header block has been incomplete for too long. */
  #sweepHead(now: number): boolean {
    const reader = this.#reader;
    if (!reader.isInsideHead) {
      this.#unfinishedHead = 0;
      return false;
    }
    if (this.#unfinishedHead !== reader.headsBegun) {
      this.#unfinishedHead = reader.headsBegun;
      this.#unfinishedSince = now;
    }
    return now - this.#unfinishedSince > this.#limits.headTimeoutMs;
  }

  /** Hands the output of this turn to the sink. */
  flush(): void {
    this.#isDirty = false;
    this.#handOn();
    if (!this.#isBlocked) {
      this.#queuedControls = 0;
      this.#queuedHeads = 0;
    }
    if (this.#isDraining || this.#goawayReceived) this.#checkDrained();
  }

  #handOn(): void {
    if (this.#out.length === 0 || this.#out.flush(this.#sink) || this.#isBlocked) return;
    this.#isBlocked = true;
    this.#blockedSince = Math.max(1, this.#sink.now());
  }

  #dirty(): void {
    if (this.#isDirty) return;
    this.#isDirty = true;
    this.#sink.flushSoon(this);
  }

  // Errors.

  /** An error of the connection: GOAWAY, all streams reset, the owner told. */
  #fail(code: number, words: string): void {
    if (this.#isClosed) return;
    this.#goaway(this.#lastPeerStreamId, code);
    this.#stop();
    this.#resetAll(code, false, words);
    this.#events.onConnectionError(code, words);
  }

  #stop(): void {
    this.#isClosed = true;
    this.#dataStream = null;
    this.#reader.stop();
  }

  #resetAll(code: number, byPeer: boolean, words: string): void {
    for (const stream of this.#streams.list()) {
      // A handler that was told before may have reset it.
      if ((stream.state & CLOSED) !== 0) continue;
      this.#closeStream(stream);
      stream.failure = words;
      stream.handler?.onReset(code, byPeer);
    }
  }

  /** `counter` counts the connections that end for it. */
  #addAbuse(cost: number, what: string, counter?: FloodCounter): void {
    if (this.#isClosed) return;
    const score = this.#abuse.add(cost);
    const limits = this.#limits;
    if (score > limits.maxAbuse) {
      if (counter !== undefined) this.#counters[counter]++;
      this.#fail(ENHANCE_YOUR_CALM, `too many ${what}`);
    } else if (limits.drainAbuse > 0 && score > limits.drainAbuse && this.role === SERVER) this.drain();
  }

  /** An error of a stream that the peer caused. */
  #streamError(stream: Http2Stream, code: number, words: string): void {
    if ((stream.state & CLOSED) !== 0) return;
    // Closed first: writing may end the connection, which tells all streams that are left.
    this.#closeStream(stream);
    this.#dropInbound(stream);
    stream.failure = words;
    this.#rst(stream.id, code);
    this.#events.onStreamError(stream.id, code, words);
    stream.handler?.onReset(code, false);
    this.#addAbuse(this.#limits.costs.streamError, "streams that had to be reset");
  }

  /** A message that is malformed (RFC 9113 8.1.1). */
  #malformed(stream: Http2Stream, words: string): void {
    this.#counters.messagingErrors++;
    this.#streamError(stream, PROTOCOL_ERROR, words);
  }

  /** As #streamError, for a stream that we have no object of. */
  #refuse(streamId: number, code: number, words: string): void {
    this.#rst(streamId, code);
    this.#events.onStreamError(streamId, code, words);
    const costs = this.#limits.costs;
    if (code === REFUSED_STREAM) this.#addAbuse(costs.refusedStream, "streams at a time");
    else this.#addAbuse(costs.streamError, "streams that had to be reset");
  }

  #rst(streamId: number, code: number): void {
    this.#counters.resetsSent++;
    const out = this.#out;
    out.beginFrame(RST_STREAM, 0, streamId);
    out.uint32(code);
    out.endFrame();
    this.#control();
    const size = this.#limits.resetMemory;
    this.#resets ??= new Int32Array(size);
    this.#resets[this.#resetCount++ % size] = streamId;
    // The peer may have filled the stream's window before it hears of the reset.
    this.#lateBytes += this.settings.streamWindow * 2;
  }

  /** A frame for a stream that we reset. It was on its way, unless there are too many of them. */
  #late(length: number): void {
    this.#lateBytes -= length + lateFrameBytes;
    if (this.#lateBytes >= 0) return;
    this.#lateBytes = 0;
    this.#addAbuse(this.#limits.costs.closedStreamFrame, "frames for closed streams");
  }

  /** The peer may have sent it before it heard that we reset the stream, or do not serve it. */
  #isOnItsWay(streamId: number): boolean {
    return (this.role === SERVER && streamId > this.#lastServedStreamId) || this.#resets?.includes(streamId) === true;
  }

  /** A control frame was written. */
  #control(): void {
    this.#dirty();
    // Counted always, and forgotten whenever the socket takes the output.
    if (++this.#queuedControls > this.#limits.maxQueuedControlFrames && this.#isBlocked) {
      this.#counters.outboundControlFlood++;
      this.#fail(ENHANCE_YOUR_CALM, "the peer does not read the answers that it causes");
    }
  }

  #goaway(lastStreamId: number, code: number): void {
    this.#counters.goawaySent++;
    const out = this.#out;
    out.beginFrame(GOAWAY, 0, 0);
    out.uint32(lastStreamId);
    out.uint32(code);
    out.endFrame();
    this.#dirty();
  }

  // Streams.

  #closeStream(stream: Http2Stream): void {
    if ((stream.state & CLOSED) !== 0) return;
    stream.state |= CLOSED;
    stream.stalledSince = 0;
    this.#streams.delete(stream.id);
    this.#counters.streamsActive--;
    if (stream.isWaiting) this.#unlink(stream);
    if (stream.outbound !== null) this.#counters.pendingSendBytes -= stream.outbound.length;
    stream.outbound = null;
    stream.outboundTrailers = null;
    if (this.#dataStream === stream) this.#dataStream = null;
    // Whether all are gone is looked at when the turn ends.
    if (this.#isDraining || this.#goawayReceived) this.#dirty();
  }

  /** Drops what a handler did not take, and gives the window of the connection back. */
  #dropInbound(stream: Http2Stream): void {
    const inbound = stream.inbound;
    stream.inboundEnd = false;
    stream.inboundTrailers = null;
    if (inbound === null) return;
    stream.inbound = null;
    this.#taken(inbound.length);
  }

  /** Closes a stream whose both sides are complete. */
  #finishIfDone(stream: Http2Stream): void {
    if ((stream.state & (LOCAL_END | REMOTE_END)) !== (LOCAL_END | REMOTE_END)) return;
    this.#closeStream(stream);
    this.#abuse.payBack(this.#limits.costs.finishedStream);
  }

  #checkDrained(): void {
    if (this.#isDrainedTold || this.#isClosed || this.#streams.size > 0) return;
    if (!this.#goawayReceived && this.#lastServedStreamId === largestStreamId) return;
    this.#isDrainedTold = true;
    this.#events.onDrained();
  }

  /** Ends a stream; its user asked for it. */
  resetStream(stream: Http2Stream, code: number): void {
    this.#dropInbound(stream);
    if ((stream.state & CLOSED) !== 0) return;
    this.#closeStream(stream);
    if (!this.#isClosed) this.#rst(stream.id, code);
  }

  // Sending.

  /** Server: a final or informational head. */
  sendHead(stream: Http2Stream, status: number, headers: Headers, isEnd: boolean): void {
    if ((stream.state & (CLOSED | LOCAL_END | HEAD_SENT)) !== 0 || this.#isClosed) return;
    this.#out.beginFrame(HEADERS, END_HEADERS, stream.id);
    this.#encoder.encodeResponse(this.#out, status, headers);
    if (status >= 200) stream.state |= isTunnel(stream, status) ? HEAD_SENT | IS_TUNNEL : HEAD_SENT;
    this.#sentBlock(stream, isEnd);
  }

  sendTrailers(stream: Http2Stream, trailers: Headers): void {
    if ((stream.state & (CLOSED | LOCAL_END)) !== 0 || stream.outboundEnd || this.#isClosed) return;
    if (stream.outbound !== null && stream.outbound.length > 0) {
      stream.outboundEnd = true;
      stream.outboundTrailers = trailers;
      return;
    }
    this.#writeTrailers(stream, trailers);
  }

  #writeTrailers(stream: Http2Stream, trailers: Headers): void {
    const out = this.#out;
    out.beginFrame(HEADERS, END_HEADERS, stream.id);
    this.#encoder.encodeTrailers(out, trailers);
    this.#sentBlock(stream, true);
  }

  /** Completes the HEADERS frame that was begun. */
  #sentBlock(stream: Http2Stream, isEnd: boolean): void {
    const out = this.#out;
    const refused = this.#encoder.hasRefused;
    if (isEnd && !refused) out.bytes[out.frameStart + 4] = END_HEADERS | END_STREAM;
    const length = out.at - out.frameStart - FRAME_HEADER_BYTES;
    if (length > this.#peerMaxFrameSize) this.#split(stream.id, length);
    else out.endFrame();
    this.#dirty();
    if (++this.#queuedHeads > this.#limits.maxQueuedHeads && this.#isBlocked) {
      this.#counters.outboundFlood++;
      return this.#fail(ENHANCE_YOUR_CALM, "the peer does not read the answers that it asks for");
    }
    if (refused) {
      // The block went out, because the peer's table depends on it, but a message with a field missing must not count.
      this.#closeStream(stream);
      stream.failure = "a header that may not be sent";
      this.#rst(stream.id, INTERNAL_ERROR);
      this.#events.onStreamError(stream.id, INTERNAL_ERROR, stream.failure);
      stream.handler?.onReset(INTERNAL_ERROR, false);
      return;
    }
    if (!isEnd) return;
    stream.state |= LOCAL_END;
    this.#finishIfDone(stream);
  }

  /** Cuts a long header block into HEADERS and CONTINUATION frames. */
  #split(streamId: number, length: number): void {
    const out = this.#out;
    const start = out.frameStart;
    const flags = out.bytes[start + 4]!;
    const most = this.#peerMaxFrameSize;
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

  sendData(stream: Http2Stream, data: Buffer, isEnd: boolean): boolean {
    if ((stream.state & (CLOSED | LOCAL_END)) !== 0 || stream.outboundEnd || this.#isClosed) return true;
    const outbound = stream.outbound;
    let sent = 0;
    if (outbound === null || outbound.length === 0) {
      sent = this.#writeData(stream, data, isEnd);
      if (sent === data.length) {
        if (isEnd) {
          stream.state |= LOCAL_END;
          this.#finishIfDone(stream);
          return true;
        }
        if (!this.#isBlocked) return true;
        stream.wantsDrain = true;
        this.#wait(stream);
        return false;
      }
      stream.outbound ??= new ByteQueue();
      stream.stalledSince = Math.max(1, this.#sink.now());
    }
    stream.outbound!.push(sent === 0 ? data : data.subarray(sent));
    this.#counters.pendingSendBytes += data.length - sent;
    stream.outboundEnd = isEnd;
    stream.wantsDrain = true;
    // Without a window of its own the stream waits for the peer's WINDOW_UPDATE and not for the connection.
    if (stream.sendWindow > 0) this.#wait(stream);
    return false;
  }

  /** Writes as much as the windows and the socket allow and returns the number of bytes. */
  #writeData(stream: Http2Stream, data: Buffer, isEnd: boolean): number {
    const total = data.length;
    if (total === 0) {
      // An empty frame needs no window. Without an end it would say nothing.
      if (isEnd) this.#writeFrame(stream, data, 0, 0, true);
      return 0;
    }
    let at = 0;
    while (at < total && !this.#isBlocked) {
      const window = stream.sendWindow < this.#sendWindow ? stream.sendWindow : this.#sendWindow;
      if (window <= 0) break;
      let count = total - at;
      if (count > window) count = window;
      if (count > this.#dataFrameSize) count = this.#dataFrameSize;
      stream.sendWindow -= count;
      this.#sendWindow -= count;
      this.#writeFrame(stream, data, at, at + count, isEnd && at + count === total);
      at += count;
    }
    return at;
  }

  #writeFrame(stream: Http2Stream, data: Buffer, start: number, end: number, isEnd: boolean): void {
    this.#out.dataFrame(DATA, stream.id, data, start, end, isEnd);
    this.#dataFramesSent++;
    this.#dirty();
    if (this.#out.length > handOnBytes) this.#handOn();
  }

  #wait(stream: Http2Stream): void {
    if (stream.isWaiting) return;
    stream.isWaiting = true;
    stream.previous = this.#lastWaiting;
    stream.next = null;
    if (this.#lastWaiting === null) this.#firstWaiting = stream;
    else this.#lastWaiting.next = stream;
    this.#lastWaiting = stream;
  }

  #unlink(stream: Http2Stream): void {
    if (stream.previous === null) this.#firstWaiting = stream.next;
    else stream.previous.next = stream.next;
    if (stream.next === null) this.#lastWaiting = stream.previous;
    else stream.next.previous = stream.previous;
    stream.isWaiting = false;
    stream.previous = null;
    stream.next = null;
  }

  /** Lets the waiting streams send in turn, one frame each. */
  #pump(): void {
    while (this.#firstWaiting !== null && !this.#isBlocked && this.#sendWindow > 0 && !this.#isClosed) {
      const stream = this.#firstWaiting;
      this.#unlink(stream);
      this.#sendQueued(stream);
    }
  }

  /** Sends one frame of what a stream has queued. */
  #sendQueued(stream: Http2Stream): void {
    const queue = stream.outbound;
    if (queue !== null && queue.length > 0) {
      const window = Math.min(stream.sendWindow, this.#sendWindow, this.#dataFrameSize);
      if (window <= 0) return;
      const data = queue.shift(window);
      this.#counters.pendingSendBytes -= data.length;
      const isLast = queue.length === 0;
      const isEnd = isLast && stream.outboundEnd && stream.outboundTrailers === null;
      stream.sendWindow -= data.length;
      this.#sendWindow -= data.length;
      this.#writeFrame(stream, data, 0, data.length, isEnd);
      if (!isLast) {
        stream.stalledSince = Math.max(1, this.#sink.now());
        if (stream.sendWindow > 0) this.#wait(stream);
        return;
      }
      stream.stalledSince = 0;
      if (stream.outboundEnd) {
        if (stream.outboundTrailers !== null) return this.#writeTrailers(stream, stream.outboundTrailers);
        stream.state |= LOCAL_END;
        return this.#finishIfDone(stream);
      }
    }
    if (!stream.wantsDrain) return;
    if (this.#isBlocked) return this.#wait(stream);
    stream.wantsDrain = false;
    stream.handler?.onDrain();
  }

  /** After its own window opened. */
  #windowOpened(stream: Http2Stream): void {
    if (stream.outbound === null || stream.outbound.length === 0 || stream.sendWindow <= 0) return;
    this.#wait(stream);
    this.#pump();
  }

  // Receiving: heads.

  onHeaderBlock(streamId: number, isEnd: boolean, dependency: number, bytes: Buffer, start: number, end: number): void {
    if (this.#isClosed) return;
    const stream = this.#streams.get(streamId);
    if (stream !== undefined) return this.#laterBlock(stream, isEnd, dependency, bytes, start, end);
    if (this.role === CLIENT || (streamId & 1) === 0 || streamId <= this.#lastPeerStreamId) {
      return this.#strayBlock(streamId, bytes, start, end);
    }
    this.#lastPeerStreamId = streamId;
    if (!this.#decode(REQUEST_HEAD, bytes, start, end)) return;
    // RFC 9113 6.8: what came after the last stream that we named is not served.
    if (streamId > this.#lastServedStreamId)
      return this.#addAbuse(this.#limits.costs.closedStreamFrame, "frames for closed streams");
    this.#streamsOpened++;
    if (dependency === streamId) return this.#refuse(streamId, PROTOCOL_ERROR, "a stream that depends on itself");
    if (this.#streams.size >= this.settings.maxConcurrentStreams) {
      return this.#refuse(streamId, REFUSED_STREAM, "more streams than we allow");
    }
    const reader = this.#headReader;
    const head = reader.head!;
    let fault = reader.fault;
    if (head.protocol !== "" && !this.settings.enableConnectProtocol) fault ||= ":protocol without our leave";
    if (isEnd && head.contentLength > 0 && !reader.isTooLarge) fault ||= "less content than content-length says";
    if (fault !== "") {
      this.#counters.messagingErrors++;
      this.#events.onMalformedRequest(head, fault, reader.fault !== "");
      return this.#refuse(streamId, PROTOCOL_ERROR, fault);
    }
    const opened = new Http2Stream(this, this.#peerStreamWindow, this.#ownStreamWindow);
    opened.id = streamId;
    opened.openedAt = this.#sink.now();
    opened.expectedBytes = head.contentLength;
    opened.state = isEnd ? HEAD_RECEIVED | REMOTE_END : HEAD_RECEIVED;
    if (head.method === "CONNECT") opened.state |= IS_CONNECT;
    this.#streams.add(opened);
    this.#counters.streamsActive++;
    if (reader.isTooLarge) this.#tooLarge(opened);
    else this.#events.onStream(opened, head, isEnd);
  }

  #tooLarge(stream: Http2Stream): void {
    this.#counters.headerOverflow++;
    stream.state |= IGNORES_INPUT;
    this.#events.onHeadTooLarge(stream);
    if ((stream.state & CLOSED) !== 0) return;
    const isAnswered = (stream.state & LOCAL_END) !== 0;
    if (!isAnswered) return this.#streamError(stream, ENHANCE_YOUR_CALM, "a head that passes our limits");
    this.resetStream(stream, NO_ERROR);
  }

  /** A header block for a stream that is not there. */
  #strayBlock(streamId: number, bytes: Buffer, start: number, end: number): void {
    const isOurs = (streamId & 1) === (this.role === CLIENT ? 1 : 0);
    if (isOurs ? streamId >= this.#nextStreamId : this.role === CLIENT || streamId > this.#lastPeerStreamId) {
      return this.#fail(PROTOCOL_ERROR, "HEADERS for a stream that the peer may not open");
    }
    if (!this.#isOnItsWay(streamId)) return this.#fail(STREAM_CLOSED, "HEADERS for a closed stream");
    this.#counters.headersWithoutStream++;
    // The table depends on it all the same.
    if (this.#decode(TRAILERS, bytes, start, end)) this.#late(end - start);
  }

  #laterBlock(
    stream: Http2Stream,
    isEnd: boolean,
    dependency: number,
    bytes: Buffer,
    start: number,
    end: number,
  ): void {
    const isHead = this.role === CLIENT && (stream.state & HEAD_RECEIVED) === 0;
    if (!this.#decode(isHead ? RESPONSE_HEAD : TRAILERS, bytes, start, end)) return;
    if ((stream.state & REMOTE_END) !== 0) {
      return this.#streamError(stream, STREAM_CLOSED, "HEADERS after the end of the stream");
    }
    if (dependency === stream.id) return this.#streamError(stream, PROTOCOL_ERROR, "a stream that depends on itself");
    if ((stream.state & IGNORES_INPUT) !== 0) return;
    if ((stream.state & IS_TUNNEL) !== 0) return this.#malformed(stream, "HEADERS inside a tunnel");
    const reader = this.#headReader;
    if (reader.isTooLarge) {
      this.#counters.headerOverflow++;
      return this.#streamError(stream, ENHANCE_YOUR_CALM, "headers that pass our limits");
    }
    if (reader.fault !== "") return this.#malformed(stream, reader.fault);
    if (isHead) return this.#responseHead(stream, reader.head!, isEnd);
    if (!isEnd) return this.#malformed(stream, "trailers that do not end the stream");
    if (stream.expectedBytes > 0) return this.#malformed(stream, "less content than content-length says");
    this.#counters.trailers++;
    stream.state |= REMOTE_END;
    const trailers = reader.headers!;
    this.#finishIfDone(stream);
    if (stream.isPaused || (stream.inbound !== null && stream.inbound.length > 0)) stream.inboundTrailers = trailers;
    else stream.handler?.onTrailers(trailers);
  }

  #responseHead(stream: Http2Stream, head: Http2Head, isEnd: boolean): void {
    const status = head.status;
    if (status < 200) {
      // RFC 9113 8.1: an informational head does not end the stream; 8.6: there is no 101.
      if (isEnd) return this.#malformed(stream, "an informational head that ends the stream");
      if (status === 101) return this.#malformed(stream, "a 101 response");
      stream.handler?.onInformational(head);
      return;
    }
    const hasNoContent = (stream.state & IS_HEAD) !== 0 || status === 204 || status === 304;
    if (isTunnel(stream, status)) stream.state |= IS_TUNNEL;
    // RFC 9110 9.3.6: a length in front of a tunnel says nothing.
    else if (hasNoContent) stream.expectedBytes = 0;
    else {
      if (isEnd && head.contentLength > 0) return this.#malformed(stream, "less content than content-length says");
      stream.expectedBytes = head.contentLength;
    }
    stream.state |= isEnd ? HEAD_RECEIVED | REMOTE_END : HEAD_RECEIVED;
    if (isEnd) this.#finishIfDone(stream);
    stream.handler?.onHeaders(head, isEnd);
  }

  /** Decodes a block into the head reader. False: the connection is over. */
  #decode(kind: number, bytes: Buffer, start: number, end: number): boolean {
    const reader = this.#headReader;
    reader.begin(kind);
    if (!this.#decoder.decode(bytes, start, end, reader)) {
      this.#fail(COMPRESSION_ERROR, this.#decoder.failure);
      return false;
    }
    reader.finish();
    return true;
  }

  // Receiving: content.

  onDataFrame(streamId: number, length: number, isEnd: boolean): void {
    if (this.#isClosed) return;
    this.#dataStream = null;
    this.#dataIsEnd = isEnd;
    this.#receiveWindow -= length;
    if (this.#receiveWindow < 0)
      return this.#fail(FLOW_CONTROL_ERROR, "more content than the connection's window holds");
    const stream = this.#streams.get(streamId);
    this.#dataFramesReceived++;
    if (stream === undefined) return this.#strayData(streamId, length);
    if ((stream.state & REMOTE_END) !== 0) {
      return this.#streamError(stream, STREAM_CLOSED, "DATA after the end of the stream");
    }
    if ((stream.state & HEAD_RECEIVED) === 0) {
      return this.#malformed(stream, "DATA before the head");
    }
    stream.receiveWindow -= length;
    if (stream.receiveWindow < 0) {
      return this.#streamError(stream, FLOW_CONTROL_ERROR, "more content than the stream's window holds");
    }
    this.#dataStream = stream;
  }

  #strayData(streamId: number, length: number): void {
    if (this.#isIdle(streamId)) return this.#fail(PROTOCOL_ERROR, "DATA for a stream that was never opened");
    if (this.#isOnItsWay(streamId)) return this.#late(length);
    this.#fail(STREAM_CLOSED, "DATA for a closed stream");
  }

  #isIdle(streamId: number): boolean {
    const isOurs = (streamId & 1) === (this.role === CLIENT ? 1 : 0);
    return isOurs ? streamId >= this.#nextStreamId : streamId > this.#lastPeerStreamId;
  }

  onPadding(count: number): void {
    if (this.#isClosed) return;
    const stream = this.#dataStream;
    if (stream !== null) this.#takenFrom(stream, count);
    this.#taken(count);
  }

  onDataBytes(bytes: Buffer, start: number, end: number, isLast: boolean): void {
    if (this.#isClosed) return;
    const count = end - start;
    const stream = this.#dataStream;
    if (stream === null) return this.#taken(count);
    if (stream.expectedBytes >= 0) {
      stream.expectedBytes -= count;
      if (stream.expectedBytes < 0 || (isLast && this.#dataIsEnd && stream.expectedBytes > 0)) {
        this.#taken(count);
        return this.#malformed(stream, "content of another length than content-length says");
      }
    }
    const isEnd = isLast && this.#dataIsEnd;
    if (isLast) this.#dataStream = null;
    if (isEnd) {
      stream.state |= REMOTE_END;
      this.#finishIfDone(stream);
    }
    if (stream.isPaused || (stream.inbound !== null && stream.inbound.length > 0)) {
      stream.inbound ??= new ByteQueue();
      stream.inbound.push(bytes.subarray(start, end));
      stream.inboundEnd = isEnd;
      return;
    }
    this.#takenFrom(stream, count);
    this.#taken(count);
    const handler = stream.handler;
    if (handler === null || (stream.state & IGNORES_INPUT) !== 0 || (count === 0 && !isEnd)) return;
    handler.onData(count === 0 ? noBytes : (bytes.subarray(start, end) as Buffer), isEnd);
  }

  /** Hands on what was kept while the stream was paused. */
  deliver(stream: Http2Stream): void {
    const inbound = stream.inbound;
    while (inbound !== null && inbound.length > 0 && !stream.isPaused && stream.inbound === inbound) {
      const data = inbound.shift(inbound.length);
      const isEnd = stream.inboundEnd && inbound.length === 0;
      if (isEnd) stream.inboundEnd = false;
      this.#takenFrom(stream, data.length);
      this.#taken(data.length);
      stream.handler?.onData(data, isEnd);
    }
    if (stream.isPaused) return;
    if (stream.inboundEnd) {
      stream.inboundEnd = false;
      stream.handler?.onData(noBytes, true);
    }
    const trailers = stream.inboundTrailers;
    if (trailers === null) return;
    stream.inboundTrailers = null;
    stream.handler?.onTrailers(trailers);
  }

  #takenFrom(stream: Http2Stream, count: number): void {
    stream.credit += count;
    if (stream.credit * 2 < this.#ownStreamWindow || (stream.state & (REMOTE_END | CLOSED)) !== 0) return;
    stream.receiveWindow += stream.credit;
    this.#windowUpdate(stream.id, stream.credit);
    stream.credit = 0;
  }

  #taken(count: number): void {
    this.#credit += count;
    if (this.#credit * 2 < this.settings.connectionWindow || this.#isClosed) return;
    this.#receiveWindow += this.#credit;
    this.#windowUpdate(0, this.#credit);
    this.#credit = 0;
  }

  #windowUpdate(streamId: number, increment: number): void {
    const out = this.#out;
    out.beginFrame(WINDOW_UPDATE, 0, streamId);
    out.uint32(increment);
    out.endFrame();
    this.#control();
  }

  // Receiving: everything else.

  onPriority(streamId: number, dependency: number): void {
    if (this.#isClosed) return;
    if (dependency === streamId) return this.#badStream(streamId, PROTOCOL_ERROR, "a stream that depends on itself");
    if (++this.#priorities > 10 + 10 * this.#streamsOpened)
      this.#addAbuse(this.#limits.costs.priority, "PRIORITY frames", "inboundPriorityFramesFlood");
  }

  onBadPriority(streamId: number): void {
    if (!this.#isClosed) this.#badStream(streamId, FRAME_SIZE_ERROR, "a PRIORITY of a wrong size");
  }

  /** An error of a stream that may not exist any more, or not yet. */
  #badStream(streamId: number, code: number, words: string): void {
    const stream = this.#streams.get(streamId);
    if (stream !== undefined) this.#streamError(stream, code, words);
    // RFC 9113 5.1: no RST_STREAM for a stream that is idle.
    else if (this.#isIdle(streamId)) this.#fail(code, words);
    else this.#refuse(streamId, code, words);
  }

  onReset(streamId: number, code: number): void {
    if (this.#isClosed) return;
    this.#counters.resetsReceived++;
    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      if (this.#isIdle(streamId)) return this.#fail(PROTOCOL_ERROR, "a RST_STREAM for a stream that was never opened");
      return this.#addAbuse(this.#limits.costs.closedStreamFrame, "frames for closed streams");
    }
    if (code === REFUSED_STREAM) this.#counters.refusedStreams++;
    this.#closeStream(stream);
    this.#dropInbound(stream);
    stream.failure = "the peer reset the stream";
    stream.handler?.onReset(code, true);
    // CVE-2023-44487. A server that resets our requests attacks nobody.
    if (this.role === SERVER && this.#sink.now() - stream.openedAt < this.#limits.prematureResetMs) {
      this.#addAbuse(this.#limits.costs.reset, "streams that the peer reset");
    }
  }

  onSettings(bytes: Buffer, start: number, end: number): void {
    if (this.#isClosed) return;
    let newWindow = -1;
    for (let at = start; at < end; at += 6) {
      const value = bytes.readUInt32BE(at + 2);
      switch (bytes.readUInt16BE(at)) {
        case SETTINGS_HEADER_TABLE_SIZE:
          this.#encoder.setPeerLimit(value);
          break;
        case SETTINGS_ENABLE_PUSH:
          if (value > 1 || (value === 1 && this.role === CLIENT)) {
            return this.#fail(PROTOCOL_ERROR, "a wrong SETTINGS_ENABLE_PUSH");
          }
          break;
        case SETTINGS_MAX_CONCURRENT_STREAMS:
          this.#peerMaxStreams = Math.min(value, this.settings.maxConcurrentStreams);
          break;
        case SETTINGS_INITIAL_WINDOW_SIZE:
          if (value > largestWindow) return this.#fail(FLOW_CONTROL_ERROR, "a window above 2^31-1");
          newWindow = value;
          break;
        case SETTINGS_MAX_FRAME_SIZE:
          if (value < 16384 || value > 16777215) return this.#fail(PROTOCOL_ERROR, "a wrong SETTINGS_MAX_FRAME_SIZE");
          this.#peerMaxFrameSize = value;
          this.#dataFrameSize = Math.min(value, largestDataFrame);
          break;
        case SETTINGS_MAX_HEADER_LIST_SIZE:
          this.peerMaxHeaderBytes = value;
          break;
        case SETTINGS_ENABLE_CONNECT_PROTOCOL:
          // RFC 8441 3: it is never taken back.
          if (value > 1 || (value === 0 && this.peerAllowsExtendedConnect)) {
            return this.#fail(PROTOCOL_ERROR, "a wrong SETTINGS_ENABLE_CONNECT_PROTOCOL");
          }
          this.peerAllowsExtendedConnect = value === 1;
          break;
        case SETTINGS_HEADER_CASE:
          if (value === 1 && this.settings.preserveHeaderCase && !this.#hasPeerSettings) this.#preserveCase();
          break;
        default:
          break;
      }
    }
    // Only the last value counts, so a frame full of values costs one pass over the streams.
    const before = this.#peerStreamWindow;
    if (newWindow >= 0 && !this.#changeWindows(newWindow)) return;
    this.#out.beginFrame(SETTINGS, ACK, 0);
    this.#out.endFrame();
    this.#control();
    if (this.#isClosed) return;
    // After the acknowledgement, so that the peer knows by which window it is sent to.
    if (newWindow > before) this.#pumpAll();
    if (this.#hasPeerSettings) this.#addAbuse(this.#limits.costs.settings, "SETTINGS frames");
    if (this.#isClosed) return;
    this.#hasPeerSettings = true;
    this.#events.onSettings();
  }

  #preserveCase(): void {
    this.preservesCase = true;
    this.#decoder.allowUpperCase();
    this.#encoder.preserveCase();
    this.#headReader.keepHost();
  }

  #changeWindows(window: number): boolean {
    const change = window - this.#peerStreamWindow;
    this.#peerStreamWindow = window;
    if (change === 0) return true;
    for (const stream of this.#streams.list()) {
      stream.sendWindow += change;
      if (stream.sendWindow > largestWindow) {
        this.#fail(FLOW_CONTROL_ERROR, "SETTINGS that make a window larger than 2^31-1");
        return false;
      }
    }
    return true;
  }

  #pumpAll(): void {
    for (const stream of this.#streams.list()) {
      if (stream.outbound !== null && stream.outbound.length > 0 && stream.sendWindow > 0) this.#wait(stream);
    }
    this.#pump();
  }

  onSettingsAck(): void {
    if (this.#isClosed) return;
    if (this.#settingsSentAt === 0) return this.#addAbuse(this.#limits.costs.settings, "SETTINGS frames");
    this.#settingsSentAt = 0;
    this.#decoder.setLimit(this.settings.headerTableSize);
    const change = this.settings.streamWindow - this.#ownStreamWindow;
    this.#ownStreamWindow = this.settings.streamWindow;
    if (change !== 0) for (const stream of this.#streams.list()) stream.receiveWindow += change;
  }

  onPing(bytes: Buffer, start: number, isAck: boolean): void {
    if (this.#isClosed) return;
    if (isAck) {
      if (bytes[start + 7] === drainPing) return this.#finishDrain();
      if (this.#pingSentAt === 0) return this.#addAbuse(this.#limits.costs.ping, "PING frames");
      this.#pingSentAt = 0;
      return;
    }
    const out = this.#out;
    out.beginFrame(PING, ACK, 0);
    out.copy(bytes, start, start + 8);
    out.endFrame();
    this.#control();
    // gRPC measures the bandwidth with a PING for nearly every round trip that brings DATA.
    const borne = 10 + 10 * this.#streamsOpened + this.#dataFramesReceived + this.#dataFramesSent;
    if (++this.#pings > borne) this.#addAbuse(this.#limits.costs.ping, "PING frames");
  }

  onGoaway(lastStreamId: number, code: number): void {
    if (this.#isClosed) return;
    this.#goawayReceived = true;
    if (this.role === CLIENT) {
      for (const stream of this.#streams.list()) {
        if (stream.id <= lastStreamId || (stream.state & CLOSED) !== 0) continue;
        this.#closeStream(stream);
        this.#dropInbound(stream);
        stream.failure = "the peer went away before the request";
        stream.handler?.onReset(REFUSED_STREAM, true);
        if (this.#isClosed) return;
      }
    }
    this.#events.onGoaway(lastStreamId, code);
    this.#dirty();
  }

  onWindowUpdate(streamId: number, increment: number): void {
    if (this.#isClosed) return;
    if (++this.#windowUpdates > 5 + 2 * this.#streamsOpened + 10 * this.#dataFramesSent) {
      this.#addAbuse(this.#limits.costs.windowUpdate, "WINDOW_UPDATE frames", "inboundWindowUpdateFramesFlood");
      if (this.#isClosed) return;
    }
    if (streamId === 0) {
      if (increment === 0) return this.#fail(PROTOCOL_ERROR, "a WINDOW_UPDATE of 0");
      this.#sendWindow += increment;
      if (this.#sendWindow > largestWindow) return this.#fail(FLOW_CONTROL_ERROR, "a window above 2^31-1");
      return this.#pump();
    }
    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      if (this.#isIdle(streamId)) this.#fail(PROTOCOL_ERROR, "a WINDOW_UPDATE for a stream that was never opened");
      return;
    }
    if (increment === 0) return this.#streamError(stream, PROTOCOL_ERROR, "a WINDOW_UPDATE of 0");
    stream.sendWindow += increment;
    if (stream.sendWindow > largestWindow)
      return this.#streamError(stream, FLOW_CONTROL_ERROR, "a window above 2^31-1");
    this.#windowOpened(stream);
  }

  onUselessFrame(): void {
    this.#addAbuse(this.#limits.costs.uselessFrame, "frames that say nothing", "inboundEmptyFramesFlood");
  }

  onFrameError(code: number, words: string): void {
    this.#fail(code, words);
  }
}

/** Whether an answer with this status makes a tunnel of the stream. */
function isTunnel(stream: Http2Stream, status: number): boolean {
  return (stream.state & IS_CONNECT) !== 0 && status < 300;
}
