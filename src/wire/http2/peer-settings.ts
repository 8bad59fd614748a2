// What the peer's SETTINGS say (RFC 9113 6.5.2, RFC 8441 3), as it is in force. Nothing here concerns a stream.
import {
  FLOW_CONTROL_ERROR,
  INITIAL_WINDOW,
  LARGEST_WINDOW,
  NO_ERROR,
  PROTOCOL_ERROR,
  SETTINGS_ENABLE_CONNECT_PROTOCOL,
  SETTINGS_ENABLE_PUSH,
  SETTINGS_HEADER_CASE,
  SETTINGS_HEADER_TABLE_SIZE,
  SETTINGS_INITIAL_WINDOW_SIZE,
  SETTINGS_MAX_CONCURRENT_STREAMS,
  SETTINGS_MAX_FRAME_SIZE,
} from "./frame.ts";
import type { HpackEncoder } from "./hpack/encoder.ts";
import type { Http2Settings } from "./settings.ts";

export class PeerSettings {
  /** False until the first SETTINGS came. */
  isKnown = false;
  maxStreams: number;
  streamWindow: number = INITIAL_WINDOW;
  maxFrameSize = 16384;
  allowsExtendedConnect = false;
  /** Names of headers are to travel in the case in which they are written. */
  asksForCase = false;
  /** What is wrong with the frame that was read last. */
  fault = "";
  readonly #own: Http2Settings;
  readonly #encoder: HpackEncoder;
  readonly #mayPush: boolean;

  constructor(own: Http2Settings, encoder: HpackEncoder, peerIsServer: boolean) {
    this.#own = own;
    this.#encoder = encoder;
    this.#mayPush = !peerIsServer;
    this.maxStreams = Math.min(own.initialPeerStreams, own.maxConcurrentStreams);
  }

  /** Takes the values of a frame in their order. Gives the code of an error of the connection, or NO_ERROR. */
  read(bytes: Buffer, start: number, end: number): number {
    for (let at = start; at < end; at += 6) {
      const code = this.#take(bytes.readUInt16BE(at), bytes.readUInt32BE(at + 2));
      if (code !== NO_ERROR) return code;
    }
    return NO_ERROR;
  }

  #take(id: number, value: number): number {
    switch (id) {
      case SETTINGS_HEADER_TABLE_SIZE:
        this.#encoder.setPeerLimit(value);
        break;
      case SETTINGS_ENABLE_PUSH:
        if (value > 1 || (value === 1 && !this.#mayPush)) return this.#refuse("a wrong SETTINGS_ENABLE_PUSH");
        break;
      case SETTINGS_MAX_CONCURRENT_STREAMS:
        this.maxStreams = Math.min(value, this.#own.maxConcurrentStreams);
        break;
      case SETTINGS_INITIAL_WINDOW_SIZE:
        if (value > LARGEST_WINDOW) return this.#refuse("a window above 2^31-1", FLOW_CONTROL_ERROR);
        this.streamWindow = value;
        break;
      case SETTINGS_MAX_FRAME_SIZE:
        if (value < 16384 || value > 16777215) return this.#refuse("a wrong SETTINGS_MAX_FRAME_SIZE");
        this.maxFrameSize = value;
        break;
      case SETTINGS_ENABLE_CONNECT_PROTOCOL:
        // RFC 8441 3: it is never taken back.
        if (value > 1 || (value === 0 && this.allowsExtendedConnect)) {
          return this.#refuse("a wrong SETTINGS_ENABLE_CONNECT_PROTOCOL");
        }
        this.allowsExtendedConnect = value === 1;
        break;
      case SETTINGS_HEADER_CASE:
        if (value === 1 && this.#own.preserveHeaderCase && !this.isKnown) this.asksForCase = true;
        break;
      default:
        break;
    }
    return NO_ERROR;
  }

  #refuse(fault: string, code: number = PROTOCOL_ERROR): number {
    this.fault = fault;
    return code;
  }
}
