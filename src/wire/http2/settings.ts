// What a connection offers to its peer and what it bears from it. The limits follow section 10.5 of RFC 9113 and the known
// floods; one score counts everything that costs us more than the peer, and useful streams pay it back.

export interface Http2Limits {
  /** Bytes of a decoded head or of trailers: names, values and 32 for each field, dropped ones included. */
  readonly maxHeaderBytes: number;
  readonly maxHeaderCount: number;
  /** CONTINUATION frames of one header block. */
  readonly maxContinuationFrames: number;
  /** Control frames that may wait while the peer does not read. */
  readonly maxQueuedControlFrames: number;
  /** Heads and trailers that may wait while the peer does not read. */
  readonly maxQueuedHeads: number;
  /** The connection ends when the abuse score passes this. */
  readonly maxAbuse: number;
  /** From this score on the connection drains; 0 never. */
  readonly drainAbuse: number;
  readonly abuseDecayPerSecond: number;
  readonly costs: AbuseCosts;
  /** A stream that the peer resets later than this was meant seriously. */
  readonly prematureResetMs: number;
  /** How long a header block may take from its first byte to its last. */
  readonly headTimeoutMs: number;
  /** How long the peer may take to acknowledge our SETTINGS. */
  readonly settingsTimeoutMs: number;
  /** How long a stream may have bytes to send that the peer's windows or its socket do not let out. */
  readonly stallTimeoutMs: number;
  /** How long draining waits for the answer to its PING before it names the last stream. */
  readonly drainTimeoutMs: number;
  /** Streams of our own resets whose late frames are still known as such. */
  readonly resetMemory: number;
}

/** What each event adds to the abuse score. A stream that runs to its end takes `finishedStream` off. */
interface AbuseCosts {
  /** A stream that the peer resets soon and before the response is complete (CVE-2023-44487). */
  readonly reset: number;
  /** A stream that we reset because of what the peer sent (CVE-2025-8671). */
  readonly streamError: number;
  /** A stream above our limit: until it knows our SETTINGS a client may open as many as it likes. */
  readonly refusedStream: number;
  /** A PING beyond one for each DATA frame and ten for each stream. */
  readonly ping: number;
  readonly settings: number;
  /** A PRIORITY beyond ten for each stream. */
  readonly priority: number;
  /** A frame without a payload that ends nothing, and a frame of an unknown type. */
  readonly uselessFrame: number;
  /** A frame for a closed stream, beyond what may have been on its way when we reset it. */
  readonly closedStreamFrame: number;
  /** A WINDOW_UPDATE beyond ten for each DATA frame sent and two for each stream. */
  readonly windowUpdate: number;
  readonly finishedStream: number;
}

export interface Http2Settings {
  /** Size of the table that the peer's encoder may use. */
  readonly headerTableSize: number;
  /** Largest table of our encoder, whatever the peer offers. */
  readonly encoderTableSize: number;
  /** Codes literal strings where that makes them shorter. Costs time on both sides. */
  readonly huffman: boolean;
  /** Streams that the peer may have open at a time; of a client, those that it opens itself. */
  readonly maxConcurrentStreams: number;
  /** Streams that we open before the peer's SETTINGS are known. */
  readonly initialPeerStreams: number;
  /** Receive windows: bytes that we bear without anybody taking them. */
  readonly streamWindow: number;
  readonly connectionWindow: number;
  readonly maxFrameSize: number;
  /** RFC 8441, for servers. */
  readonly enableConnectProtocol: boolean;
  /**
   * Between two Outrigger proxies alone: names travel as the HTTP/1 application wrote them. A client says it in its
   * SETTINGS, and a server does it for clients that said it.
   */
  readonly preserveHeaderCase: boolean;
  readonly limits: Http2Limits;
}

const defaultLimits: Http2Limits = {
  maxHeaderBytes: 60 * 1024,
  maxHeaderCount: 100,
  maxContinuationFrames: 8,
  maxQueuedControlFrames: 1000,
  maxQueuedHeads: 10_000,
  maxAbuse: 1000,
  drainAbuse: 750,
  abuseDecayPerSecond: 132,
  costs: {
    reset: 4,
    streamError: 4,
    refusedStream: 1,
    ping: 1,
    settings: 2,
    priority: 1,
    uselessFrame: 2,
    closedStreamFrame: 1,
    windowUpdate: 1,
    finishedStream: 4,
  },
  prematureResetMs: 1000,
  headTimeoutMs: 15_000,
  settingsTimeoutMs: 10_000,
  stallTimeoutMs: 300_000,
  drainTimeoutMs: 1000,
  resetMemory: 512,
};

/** For peers that nobody vouches for. */
export const edgeSettings: Http2Settings = {
  headerTableSize: 4096,
  encoderTableSize: 4096,
  huffman: false,
  maxConcurrentStreams: 100,
  initialPeerStreams: 100,
  streamWindow: 256 * 1024,
  connectionWindow: 1024 * 1024,
  maxFrameSize: 16 * 1024,
  enableConnectProtocol: true,
  preserveHeaderCase: false,
  limits: defaultLimits,
};

/**
 * For authenticated peers that carry the streams of many clients: a few slow ones among them must not hold the window of
 * the connection, and large values (peer metadata, client certificates) should stay in the table.
 */
export const meshSettings: Http2Settings = {
  ...edgeSettings,
  headerTableSize: 16 * 1024,
  encoderTableSize: 16 * 1024,
  maxConcurrentStreams: 1024,
  connectionWindow: 16 * 1024 * 1024,
  maxFrameSize: 64 * 1024,
};
