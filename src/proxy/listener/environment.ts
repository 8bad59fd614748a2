// What a listener needs from the rest of the proxy.
import type { Socket } from "node:net";
import type { Logger } from "#base/log/log.ts";
import type { OriginalDestination } from "#base/net/original-destination.ts";
import type { SocketCalls } from "#base/net/socket-calls.ts";
import type { NetworkEnvironment } from "../network/environment.ts";
import type { InboundTraffic } from "../stats/inbound-traffic.ts";
import type { ConnectionInfo } from "../transport/connection-info.ts";
import type { EventLoop } from "../transport/event-loop.ts";
import type { TlsContexts } from "../transport/tls-contexts.ts";
import type { ActiveListener } from "./active-listener.ts";
import type { Allowance } from "./allowance.ts";
import type { ConnectionLimits } from "./connection-limits.ts";
import type { HandshakeGate } from "./handshake-gate.ts";
import type { InspectorCounters } from "./inspection.ts";
import type { RefusalLog } from "./refusal-log.ts";

export interface ListenerEnvironment {
  readonly loop: EventLoop;
  readonly log: Logger;
  readonly contexts: TlsContexts;
  readonly network: NetworkEnvironment;
  /** Whether an IPv6 listener takes IPv4 connections too. */
  readonly dualStack: boolean;
  /** Other threads listen on the same ports; the kernel spreads connections. */
  readonly sharesPorts: boolean;
  readonly calls: SocketCalls;
  readonly limits: ConnectionLimits;
  readonly refusals: RefusalLog;
  /** Counts who calls this workload. */
  readonly arrivals: InboundTraffic;
  /** Unique in this event loop. */
  readonly nextConnectionId: () => number;
  readonly handshakes: HandshakeGate;
  readonly inspectors: InspectorCounters;
  /** Bytes that are held of connections whose filter chain is not known. */
  readonly undecided: Allowance;
  readonly originalDestination: (socket: Socket) => OriginalDestination | null;
  /** The listener that serves a connection which another one accepted. */
  readonly route: (acceptedBy: ActiveListener, info: ConnectionInfo) => ActiveListener;
  /** A draining listener has no connection left. */
  readonly onIdle: (listener: ActiveListener) => void;
}
