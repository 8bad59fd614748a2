// HOT: per frame (bench/http2-codec.ts). One HTTP/2 connection (RFC 9113) as client or server, without a socket: bytes go in by `receive` and come
// out at `flush`, once per event-loop turn. Nothing here throws for what a peer does. An error of a stream resets it; an
// error of the connection sends GOAWAY, is told once, and whatever follows is dropped.
//
// Every limit on what a peer may cost is in Http2Limits; what has no place of its own there adds to the abuse score.
import type { Headers } from "../http/headers.ts";
import { AbuseScore } from "./abuse-score.ts";
import type { Http2CodecCounters } from "./codec-counters.ts";
import { endHeaders, writeGoaway, writePing, writeReset, writeSettings, writeWindowUpdate } from "./control-frames.ts";
import { DataReceiver, type DataReceiverUser } from "./data-receiver.ts";
import { DataSender, type DataSenderUser } from "./data-sender.ts";
import {
  ACK,
  CLIENT_PREFACE,
  COMPRESSION_ERROR,
  END_HEADERS,
  END_STREAM,
  ENHANCE_YOUR_CALM,
  FLOW_CONTROL_ERROR,
  FRAME_SIZE_ERROR,
  HEADERS,
  INTERNAL_ERROR,
  NO_ERROR,
  PING,
  PROTOCOL_ERROR,
  REFUSED_STREAM,
  SETTINGS,
  SETTINGS_TIMEOUT,
  STREAM_CLOSED,
} from "./frame.ts";
import { FrameProportion } from "./frame-proportion.ts";
import { FrameReader, type FrameSink } from "./frame-reader.ts";
import type { Http2Head, PseudoHeaders } from "./head.ts";
import { HeadReader, REQUEST_HEAD, RESPONSE_HEAD, TRAILERS } from "./head-reader.ts";
import { HpackDecoder } from "./hpack/decoder.ts";
import { HpackEncoder } from "./hpack/encoder.ts";
import { Outlet } from "./outlet.ts";
import type { FrameOutput } from "./output.ts";
import type { Http2Events, Http2Sink } from "./owner.ts";
import { PeerSettings } from "./peer-settings.ts";
import { ResetMemory } from "./reset-memory.ts";
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

type FloodCounter = "inboundEmptyFramesFlood" | "inboundPriorityFramesFlood" | "inboundWindowUpdateFramesFlood";

export const CLIENT = 0;
export const SERVER = 1;

const largestStreamId = 0x7fffffff;
/** Payload of the PING that measures a round trip for draining. */
const drainPing = 1;

export class Http2Connection implements FrameSink, DataSenderUser, DataReceiverUser {
  readonly role: number;
  readonly settings: Http2Settings;
  /** True once names of headers travel in the case in which they are written. */
  preservesCase = false;
  readonly #limits: Http2Limits;
  readonly #sink: Http2Sink;
  readonly #counters: Http2CodecCounters;
  readonly #events: Http2Events;
  readonly #reader: FrameReader;
  readonly #outlet: Outlet;
  readonly #out: FrameOutput;
  readonly #sender: DataSender;
  readonly #receiver: DataReceiver;
  readonly #peer: PeerSettings;
  readonly #decoder: HpackDecoder;
  readonly #encoder: HpackEncoder;
  readonly #headReader: HeadReader;
  readonly #abuse: AbuseScore;
  readonly #streams: StreamTable = new StreamTable();
  #nextStreamId: number;
  /** Highest stream of the peer that we have seen. */
  #lastPeerStreamId = 0;
  readonly #resets: ResetMemory;
  readonly #proportion: FrameProportion = new FrameProportion();
  #isClosed = false;

  #settingsSentAt = 0;
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

  /** The stream of the DATA frame that is being read, or null where its bytes are dropped. */
  #dataStream: Http2Stream | null = null;
  #dataIsEnd = false;

  constructor(role: number, settings: Http2Settings, sink: Http2Sink, events: Http2Events) {
    const limits = settings.limits;
    this.role = role;
    this.settings = settings;
    this.#limits = limits;
    this.#sink = sink;
    this.#counters = sink.counters;
    this.#events = events;
    this.#nextStreamId = role === CLIENT ? 1 : 2;
    this.#receiver = new DataReceiver(this, settings);
    this.#outlet = new Outlet(this, sink, limits);
    this.#out = this.#outlet.frames;
    this.#sender = new DataSender(this, this.#outlet, sink);
    this.#resets = new ResetMemory(limits.resetMemory, settings.streamWindow);
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
    this.#peer = new PeerSettings(settings, this.#encoder, role === CLIENT);
    this.#headReader = new HeadReader(limits.maxHeaderBytes, limits.maxHeaderCount, this.preservesCase);
    this.#abuse = new AbuseScore(() => sink.now(), limits.abuseDecayPerSecond);
  }

  /** Sends the preface (RFC 9113 3.4). */
  start(): void {
    const settings = this.settings;
    const out = this.#out;
    if (this.role === CLIENT) out.copy(CLIENT_PREFACE, 0, CLIENT_PREFACE.length);
    writeSettings(out, settings, this.role === CLIENT);
    this.#settingsSentAt = Math.max(1, this.#sink.now());
    this.#receiver.start();
    this.#outlet.flushSoon();
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
    if (!this.#outlet.isBlocked) return;
    this.#outlet.unblock();
    this.#sender.pump();
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
    return this.#peer.isKnown;
  }

  /** True once the peer announced RFC 8441. */
  get peerAllowsExtendedConnect(): boolean {
    return this.#peer.allowsExtendedConnect;
  }

  get activeStreams(): number {
    return this.#streams.size;
  }

  get canOpenStream(): boolean {
    return (
      !this.#isClosed &&
      !this.#goawayReceived &&
      !this.#isDraining &&
      this.#streams.size < this.#peer.maxStreams &&
      this.#nextStreamId <= largestStreamId
    );
  }

  /** Received bytes that nobody took yet: they keep the window of the connection from all its streams. */
  get heldBytes(): number {
    return this.#receiver.heldBytes;
  }

  /** Streams that the peer lets us have open. */
  get peerMaxStreams(): number {
    return this.#peer.maxStreams;
  }

  /** When the PING was sent that the peer did not answer yet, or 0. */
  get pingSentAt(): number {
    return this.#pingSentAt;
  }

  // What the owner asks for.

  /** Client: sends a request. Null when there may be no new stream now; see `canOpenStream`. */
  openStream(handler: Http2StreamHandler, head: PseudoHeaders, headers: Headers, isEnd: boolean): Http2Stream | null {
    if (this.role !== CLIENT || !this.canOpenStream) return null;
    const stream = new Http2Stream(this, this.#peer.streamWindow, this.#receiver.streamWindow);
    stream.handler = handler;
    stream.id = this.#nextStreamId;
    this.#nextStreamId += 2;
    this.#streams.add(stream);
    this.#counters.streamsActive++;
    this.#proportion.streamsOpened++;
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
    writePing(this.#out, payload);
    this.#outlet.flushSoon();
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
    this.#outlet.flushSoon();
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
    const { blockedSince } = this.#outlet;
    if (blockedSince !== 0 && now - blockedSince > limits.stallTimeoutMs) {
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
    this.#outlet.flush();
    if (this.#isDraining || this.#goawayReceived) this.#checkDrained();
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
    this.#receiver.drop(stream);
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
    writeReset(this.#out, streamId, code);
    this.#control();
    this.#resets.add(streamId);
  }

  /** A frame for a stream that we reset. It was on its way, unless there are too many of them. */
  #late(length: number): void {
    if (!this.#resets.takesLate(length)) {
      this.#addAbuse(this.#limits.costs.closedStreamFrame, "frames for closed streams");
    }
  }

  /** The peer may have sent it before it heard that we reset the stream, or do not serve it. */
  #isOnItsWay(streamId: number): boolean {
    return (this.role === SERVER && streamId > this.#lastServedStreamId) || this.#resets.has(streamId);
  }

  /** A control frame was written. */
  #control(): void {
    if (this.#outlet.controlWritten()) return;
    this.#counters.outboundControlFlood++;
    this.#fail(ENHANCE_YOUR_CALM, "the peer does not read the answers that it causes");
  }

  #goaway(lastStreamId: number, code: number): void {
    this.#counters.goawaySent++;
    writeGoaway(this.#out, lastStreamId, code);
    this.#outlet.flushSoon();
  }

  // Streams.

  #closeStream(stream: Http2Stream): void {
    if ((stream.state & CLOSED) !== 0) return;
    stream.state |= CLOSED;
    this.#streams.delete(stream.id);
    this.#counters.streamsActive--;
    this.#sender.forget(stream);
    if (this.#dataStream === stream) this.#dataStream = null;
    // Whether all are gone is looked at when the turn ends.
    if (this.#isDraining || this.#goawayReceived) this.#outlet.flushSoon();
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
    this.#receiver.drop(stream);
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
    endHeaders(out, stream.id, this.#peer.maxFrameSize);
    if (!this.#outlet.headWritten()) {
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

  sendData(stream: Http2Stream, data: Buffer, isEnd: boolean): boolean {
    if ((stream.state & (CLOSED | LOCAL_END)) !== 0 || stream.outboundEnd || this.#isClosed) return true;
    return this.#sender.send(stream, data, isEnd);
  }

  onContentSent(stream: Http2Stream): void {
    stream.state |= LOCAL_END;
    this.#finishIfDone(stream);
  }

  onTrailersDue(stream: Http2Stream, trailers: Headers): void {
    this.#writeTrailers(stream, trailers);
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
    this.#proportion.streamsOpened++;
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
    const opened = new Http2Stream(this, this.#peer.streamWindow, this.#receiver.streamWindow);
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
    if (!this.#receiver.takesFrame(length)) {
      return this.#fail(FLOW_CONTROL_ERROR, "more content than the connection's window holds");
    }
    const stream = this.#streams.get(streamId);
    this.#proportion.dataFramesReceived++;
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
    if (stream !== null) this.#receiver.takenFrom(stream, count);
    this.#receiver.taken(count);
  }

  onDataBytes(bytes: Buffer, start: number, end: number, isLast: boolean): void {
    if (this.#isClosed) return;
    const count = end - start;
    const stream = this.#dataStream;
    if (stream === null) return this.#receiver.taken(count);
    if (stream.expectedBytes >= 0) {
      stream.expectedBytes -= count;
      if (stream.expectedBytes < 0 || (isLast && this.#dataIsEnd && stream.expectedBytes > 0)) {
        this.#receiver.taken(count);
        return this.#malformed(stream, "content of another length than content-length says");
      }
    }
    const isEnd = isLast && this.#dataIsEnd;
    if (isLast) this.#dataStream = null;
    if (isEnd) {
      stream.state |= REMOTE_END;
      this.#finishIfDone(stream);
    }
    this.#receiver.receive(stream, bytes, start, end, isEnd);
  }

  /** Hands on what was kept while the stream was paused. */
  deliver(stream: Http2Stream): void {
    this.#receiver.deliver(stream);
  }

  onWindowOpened(streamId: number, increment: number): void {
    if (this.#isClosed) return;
    writeWindowUpdate(this.#out, streamId, increment);
    this.#control();
  }

  // Receiving: everything else.

  onPriority(streamId: number, dependency: number): void {
    if (this.#isClosed) return;
    if (dependency === streamId) return this.#badStream(streamId, PROTOCOL_ERROR, "a stream that depends on itself");
    if (!this.#proportion.bearsPriority())
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
    this.#receiver.drop(stream);
    stream.failure = "the peer reset the stream";
    stream.handler?.onReset(code, true);
    // CVE-2023-44487. A server that resets our requests attacks nobody.
    if (this.role === SERVER && this.#sink.now() - stream.openedAt < this.#limits.prematureResetMs) {
      this.#addAbuse(this.#limits.costs.reset, "streams that the peer reset");
    }
  }

  onSettings(bytes: Buffer, start: number, end: number): void {
    if (this.#isClosed) return;
    const peer = this.#peer;
    const before = peer.streamWindow;
    const code = peer.read(bytes, start, end);
    if (code !== NO_ERROR) return this.#fail(code, peer.fault);
    this.#sender.setFrameSize(peer.maxFrameSize);
    if (peer.asksForCase && !this.preservesCase) this.#preserveCase();
    // Only the last value counts, so a frame full of values costs one pass over the streams.
    const change = peer.streamWindow - before;
    if (change !== 0 && !this.#changeWindows(change)) return;
    this.#out.beginFrame(SETTINGS, ACK, 0);
    this.#out.endFrame();
    this.#control();
    if (this.#isClosed) return;
    // After the acknowledgement, so that the peer knows by which window it is sent to.
    if (change > 0) this.#pumpAll();
    if (peer.isKnown) this.#addAbuse(this.#limits.costs.settings, "SETTINGS frames");
    if (this.#isClosed) return;
    peer.isKnown = true;
    this.#events.onSettings();
  }

  #preserveCase(): void {
    this.preservesCase = true;
    this.#decoder.allowUpperCase();
    this.#encoder.preserveCase();
    this.#headReader.keepHost();
  }

  #changeWindows(change: number): boolean {
    for (const stream of this.#streams.list()) {
      if (this.#sender.changeWindow(stream, change)) continue;
      this.#fail(FLOW_CONTROL_ERROR, "SETTINGS that make a window larger than 2^31-1");
      return false;
    }
    return true;
  }

  #pumpAll(): void {
    for (const stream of this.#streams.list()) this.#sender.windowOpened(stream);
    this.#sender.pump();
  }

  onSettingsAck(): void {
    if (this.#isClosed) return;
    if (this.#settingsSentAt === 0) return this.#addAbuse(this.#limits.costs.settings, "SETTINGS frames");
    this.#settingsSentAt = 0;
    this.#decoder.setLimit(this.settings.headerTableSize);
    const change = this.settings.streamWindow - this.#receiver.streamWindow;
    this.#receiver.streamWindow = this.settings.streamWindow;
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
    if (!this.#proportion.bearsPing(this.#sender.framesSent)) this.#addAbuse(this.#limits.costs.ping, "PING frames");
  }

  onGoaway(lastStreamId: number, code: number): void {
    if (this.#isClosed) return;
    this.#goawayReceived = true;
    if (this.role === CLIENT) {
      for (const stream of this.#streams.list()) {
        if (stream.id <= lastStreamId || (stream.state & CLOSED) !== 0) continue;
        this.#closeStream(stream);
        this.#receiver.drop(stream);
        stream.failure = "the peer went away before the request";
        stream.handler?.onReset(REFUSED_STREAM, true);
        if (this.#isClosed) return;
      }
    }
    this.#events.onGoaway(lastStreamId, code);
    this.#outlet.flushSoon();
  }

  onWindowUpdate(streamId: number, increment: number): void {
    if (this.#isClosed) return;
    if (!this.#proportion.bearsWindowUpdate(this.#sender.framesSent)) {
      this.#addAbuse(this.#limits.costs.windowUpdate, "WINDOW_UPDATE frames", "inboundWindowUpdateFramesFlood");
      if (this.#isClosed) return;
    }
    if (streamId === 0) {
      if (increment === 0) return this.#fail(PROTOCOL_ERROR, "a WINDOW_UPDATE of 0");
      if (!this.#sender.openWindow(increment)) return this.#fail(FLOW_CONTROL_ERROR, "a window above 2^31-1");
      return this.#sender.pump();
    }
    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      if (this.#isIdle(streamId)) this.#fail(PROTOCOL_ERROR, "a WINDOW_UPDATE for a stream that was never opened");
      return;
    }
    if (increment === 0) return this.#streamError(stream, PROTOCOL_ERROR, "a WINDOW_UPDATE of 0");
    if (!this.#sender.changeWindow(stream, increment)) {
      return this.#streamError(stream, FLOW_CONTROL_ERROR, "a window above 2^31-1");
    }
    this.#sender.windowOpened(stream);
    this.#sender.pump();
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
