// What a listener counts, in plain numbers: there are hundreds of listeners, and few count much.

export interface ListenerCounters {
  connectionsTotal: number;
  /** Connections that a limit of their number refused. */
  overflows: number;
  globalOverflows: number;
  /** Refused because too much of something was in progress. */
  overloadRejects: number;
  filterTimeouts: number;
  /** The client ended while its first bytes were waited for. */
  remoteCloses: number;
  noFilterChainMatches: number;
  tlsHandshakes: number;
  tlsErrors: number;
}

export function listenerCounters(): ListenerCounters {
  return {
    connectionsTotal: 0,
    overflows: 0,
    globalOverflows: 0,
    overloadRejects: 0,
    filterTimeouts: 0,
    remoteCloses: 0,
    noFilterChainMatches: 0,
    tlsHandshakes: 0,
    tlsErrors: 0,
  };
}
