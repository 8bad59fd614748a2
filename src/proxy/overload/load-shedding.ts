// HOT: per request. What the overload manager has decided, as the data path reads it: one boolean where all is well.
import type { TimerScale } from "../config/overload.ts";

export class LoadShedding {
  /** False: nothing below needs to be looked at. */
  isActive = false;
  /** Share of new requests that are answered with 503. */
  stopRequests = 0;
  /** Share of responses after which the connection ends. */
  disableKeepAlive = 0;
  /** Share of new connections that are closed at once. */
  rejectConnections = 0;
  /** How far idle timeouts are shortened, 0 to 1. */
  reduceTimeouts = 0;
  connectionIdle: TimerScale | null = null;
  streamIdle: TimerScale | null = null;
  /** The numbers behind it, in words. */
  why = "";
  shedRequests = 0;

  /** Whether this request is one that is not served. */
  stopsRequest(random: () => number): boolean {
    return happens(this.stopRequests, random);
  }

  asksToClose(random: () => number): boolean {
    return happens(this.disableKeepAlive, random);
  }

  rejectsConnection(random: () => number): boolean {
    return happens(this.rejectConnections, random);
  }

  /** An idle timeout of connections as it is now; 0 stays 0. */
  connectionIdleMs(configuredMs: number): number {
    return this.isActive ? shortened(configuredMs, this.connectionIdle, this.reduceTimeouts) : configuredMs;
  }

  streamIdleMs(configuredMs: number): number {
    return this.isActive ? shortened(configuredMs, this.streamIdle, this.reduceTimeouts) : configuredMs;
  }
}

function happens(share: number, random: () => number): boolean {
  return share > 0 && (share >= 1 || random() < share);
}

function shortened(configuredMs: number, scale: TimerScale | null, by: number): number {
  if (scale === null || by === 0 || configuredMs === 0) return configuredMs;
  const least = Math.min(configuredMs, Math.max(scale.minMs, configuredMs * scale.minShare, 1));
  return least + (configuredMs - least) * (1 - by);
}
