// One connection whose peer is the test: it sends bytes and reads frames.
import { CLIENT, Http2Connection, SERVER } from "../connection.ts";
import { CLIENT_PREFACE } from "../frame.ts";
import { edgeSettings, type Http2Limits, type Http2Settings } from "../settings.ts";
import { MemorySink } from "./memory-sink.ts";
import { describe, parseFrames, type RawFrame, settings, settingsAck } from "./raw-frames.ts";
import { EventRecorder } from "./recorder.ts";

export interface RawPeerOptions {
  readonly settings?: Partial<Http2Settings>;
  readonly limits?: Partial<Http2Limits>;
  /** The SETTINGS of the peer. */
  readonly peerSettings?: Buffer;
  /** Leaves the exchange of prefaces to the test. */
  readonly silent?: boolean;
}

export class RawPeer {
  readonly sink: MemorySink = new MemorySink();
  readonly events: EventRecorder = new EventRecorder();
  readonly connection: Http2Connection;

  constructor(role: number, options: RawPeerOptions = {}) {
    const own = { ...edgeSettings, ...options.settings };
    const limits = { ...own.limits, ...options.limits };
    this.connection = new Http2Connection(role, { ...own, limits }, this.sink, this.events);
    this.connection.start();
    if (options.silent === true) return;
    if (role === SERVER) this.connection.receive(Buffer.from(CLIENT_PREFACE));
    this.connection.receive(options.peerSettings ?? settings());
    this.connection.receive(Buffer.from(settingsAck));
    this.sink.take();
  }

  /** Sends bytes and returns the frames that come back in that turn. */
  frames(...bytes: readonly Buffer[]): RawFrame[] {
    this.connection.receive(Buffer.concat(bytes));
    return parseFrames(this.sink.take());
  }

  /** As `frames`, in words. */
  send(...bytes: readonly Buffer[]): string[] {
    return this.frames(...bytes).map(describe);
  }
}

export function rawServer(options: RawPeerOptions = {}): RawPeer {
  return new RawPeer(SERVER, options);
}

export function rawClient(options: RawPeerOptions = {}): RawPeer {
  return new RawPeer(CLIENT, options);
}
