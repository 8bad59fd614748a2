// TLS towards a client: our certificate, the client's certificate asked for and verified where the chain demands it,
// and the protocol chosen among those that are spoken here. Nothing reaches the filters before the client is verified.
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { asksForCertificate, type DownstreamTlsConfig } from "../config/tls.ts";
import type { ConnectionInfo } from "./connection-info.ts";
import { verifyPeer } from "./peer-certificate.ts";
import { type SocketFailure, socketFailure, tlsFailure } from "./socket-error.ts";
import type { BuiltContext, ContextWish, TlsContexts } from "./tls-contexts.ts";

export interface DownstreamHandshake {
  readonly config: DownstreamTlsConfig;
  readonly contexts: TlsContexts;
  /** What the client offered, from its hello. */
  readonly offeredAlpn: readonly string[];
  /** Protocols that the filter chain can speak, in order of preference. */
  readonly spokenAlpn: readonly string[];
  readonly now: number;
}

/** Secures an accepted socket whose first bytes were put back, fills in the connection's identity, calls back once. */
export function handshakeDownstream(
  socket: Socket,
  info: ConnectionInfo,
  handshake: DownstreamHandshake,
  done: (secured: Socket, failure: SocketFailure | null) => void,
): void {
  const { config } = handshake;
  if (config.requireServerName && info.serverName === "") {
    done(
      socket,
      tlsFailure("NO_SERVER_NAME", "NO_SERVER_NAME", "the hello names no server, and this listener needs one"),
    );
    return;
  }
  const built = contextOf(handshake, info.serverName);
  if (built === null || typeof built === "string") {
    const words =
      built === null ? "the certificate or its roots can't be used" : `the secret "${built}" is not there yet`;
    done(socket, tlsFailure("SECRET_MISSING", "SECRET_NOT_READY", words));
    return;
  }
  const alpn = chooseAlpn(config, handshake);
  const secured = new TLSSocket(socket, {
    isServer: true,
    secureContext: built.context,
    requestCert: config.requireClientCertificate || asksForCertificate(config),
    // The chain is verified by OpenSSL and judged below with the words that go into the log.
    rejectUnauthorized: false,
    ...(alpn !== null && { ALPNProtocols: [alpn] }),
  });
  let isDone = false;
  const finish = (failure: SocketFailure | null): void => {
    if (isDone) return;
    isDone = true;
    // The events of a handshake come from inside OpenSSL, where closing the socket would crash: see upstream-tls.ts.
    setImmediate(done, secured, failure);
  };
  let failure: SocketFailure | null = null;
  secured.on("error", (error) => {
    failure ??= socketFailure(error);
    finish(failure);
  });
  secured.on("_tlsError", (error: unknown) => {
    failure ??= socketFailure(error);
  });
  // Sockets here may be half open: a client that ended in the middle would be waited for until the timeout.
  secured.once("end", () => finish(failure ?? tlsFailure("CLOSED", "CONNECTION_CLOSED", closedWords)));
  secured.once("close", () => finish(failure ?? tlsFailure("CLOSED", "CONNECTION_CLOSED", closedWords)));
  secured.once("secure", () => {
    try {
      const verdict = verifyPeer(secured, config, config.requireClientCertificate, handshake.now);
      info.isTls = true;
      info.peer = verdict.peer;
      info.localUriSan = built.localUriSan;
      info.tlsVersion = secured.getProtocol() ?? "";
      info.tlsCipher = secured.getCipher().name;
      info.negotiatedAlpn = alpn ?? "";
      finish(verdict.failure);
    } catch (error) {
      finish(socketFailure(error));
    }
  });
}

/** The context, the name of a missing secret, or null for a secret that OpenSSL refuses. */
function contextOf(handshake: DownstreamHandshake, serverName: string): BuiltContext | string | null {
  const { config, contexts } = handshake;
  const { names, inline } = contexts.choose(config.certificateNames, config.inlineCertificates, serverName);
  const wish: ContextWish = {
    certificateNames: names,
    inlineCertificates: inline,
    peer: config,
    parameters: config,
    server: config,
    allowsRenegotiation: false,
  };
  try {
    return contexts.get(wish);
  } catch {
    return null; // the caller says it, for each connection, without a byte of the secret
  }
}

const closedWords = "the client closed the connection during the TLS handshake";

/**
 * The server's preference among what both sides speak. Without an overlap no protocol is negotiated, as Envoy does;
 * OpenSSL would end the handshake. An `istio` offer is confirmed, for it changes nothing on the wire.
 */
function chooseAlpn(config: DownstreamTlsConfig, handshake: DownstreamHandshake): string | null {
  const { offeredAlpn, spokenAlpn } = handshake;
  // HTTP/1 requests of another Outrigger proxy, multiplexed: only it offers this name without `h2`, and it tells the
  // difference by the name that is confirmed. Envoy offers both and gets `h2` below.
  const mayMultiplex = spokenAlpn.includes("h2") && config.alpnProtocols.includes("h2");
  if (mayMultiplex && offeredAlpn.includes("istio-h2") && !offeredAlpn.includes("h2")) return "istio-h2";
  for (const protocol of config.alpnProtocols) {
    if (handshake.spokenAlpn.includes(protocol) && handshake.offeredAlpn.includes(protocol)) return protocol;
  }
  return null;
}
