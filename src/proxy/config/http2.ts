// Runtime shape of HTTP/2 options, of connection managers and clusters.
import { edgeSettings, type Http2Settings, meshSettings } from "#wire/http2/settings.ts";

export interface Http2Config {
  readonly settings: Http2Settings;
  readonly keepalive: KeepaliveConfig;
}

/** PINGs, and what becomes of a peer that does not answer them. */
export interface KeepaliveConfig {
  /** After this time without a byte of the peer; 0: none. */
  readonly intervalMs: number;
  /** Before a new stream, where nothing came for this time; 0: none. */
  readonly idleIntervalMs: number;
  readonly timeoutMs: number;
}

const noKeepalive: KeepaliveConfig = { intervalMs: 0, idleIntervalMs: 0, timeoutMs: 0 };

/** Towards peers that nobody vouches for, and towards those of the mesh. */
export const edgeHttp2: Http2Config = { settings: edgeSettings, keepalive: noKeepalive };
export const meshHttp2: Http2Config = { settings: meshSettings, keepalive: noKeepalive };
