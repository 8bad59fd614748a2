// TLS towards an endpoint: client certificate, trusted roots, server names, SNI, ALPN, resumption. No application byte
// is sent before the peer is verified.
import { isIP, type Socket } from "node:net";
import { connect } from "node:tls";
import type { UpstreamTlsConfig } from "../config/tls.ts";
import { verifyPeer } from "./peer-certificate.ts";
import { type SocketFailure, socketFailure, tlsFailure } from "./socket-error.ts";
import type { ContextWish, TlsContexts } from "./tls-contexts.ts";

export interface SecuredBy {
  readonly negotiatedAlpn: string;
  /** URI SANs of both ends. */
  readonly peerUriSan: string | undefined;
  readonly localUriSan: string | undefined;
  /** Empty on plaintext. */
  readonly tlsVersion: string;
  readonly tlsCipher: string;
}

export const securedByNothing: SecuredBy = {
  negotiatedAlpn: "",
  peerUriSan: undefined,
  localUriSan: undefined,
  tlsVersion: "",
  tlsCipher: "",
};

export type HandshakeDone = (socket: Socket, securedBy: SecuredBy, failure: SocketFailure | null) => void;

export class UpstreamTls {
  /** Equal keys mean that connections may be shared. */
  readonly key: string;
  readonly #config: UpstreamTlsConfig;
  readonly #alpn: readonly string[];
  readonly #contexts: TlsContexts;
  readonly #wish: ContextWish;
  readonly #now: () => number;

  constructor(config: UpstreamTlsConfig, alpn: readonly string[], contexts: TlsContexts, now: () => number) {
    this.#config = config;
    this.#alpn = alpn;
    this.#contexts = contexts;
    this.#now = now;
    this.#wish = {
      certificateNames: config.certificateName === null ? [] : [config.certificateName],
      inlineCertificates: config.inlineCertificate === null ? [] : [config.inlineCertificate],
      peer: config,
      parameters: config,
      server: null,
      allowsRenegotiation: config.allowsRenegotiation,
    };
    this.key = keyOf(config, alpn);
  }

  /** Secures a connected socket and calls back once. */
  handshake(socket: Socket, done: HandshakeDone): void {
    const config = this.#config;
    const built = this.#contexts.get(this.#wish);
    if (typeof built === "string") {
      done(
        socket,
        securedByNothing,
        tlsFailure("SECRET_MISSING", "SECRET_NOT_READY", `the secret "${built}" is not there yet`),
      );
      return;
    }
    // A ticket is for one endpoint and one set of questions to its certificate (CVE-2026-48934).
    const sessionKey = `${socket.remoteAddress}:${socket.remotePort} ${this.key}`;
    const known = config.resumesSessions ? built.sessions.get(sessionKey) : undefined;
    const session = known !== undefined && this.#now() < known.notAfterMs ? known : undefined;
    let peer: { readonly uriSan: string | undefined; readonly notAfterMs: number } | null = null;
    const secured = connect({
      socket,
      secureContext: built.context,
      // The chain is verified by OpenSSL and judged below with the words that go into the log.
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
      // RFC 6066 section 3: an address is no server name.
      ...(config.sni !== "" && isIP(config.sni) === 0 && { servername: config.sni }),
      ...(this.#alpn.length > 0 && { ALPNProtocols: [...this.#alpn] }),
      ...(session !== undefined && { session: session.ticket }),
    });
    let isDone = false;
    const finish = (failure: SocketFailure | null, peerUriSan?: string): void => {
      if (isDone) return;
      isDone = true;
      // The events of a handshake come from inside OpenSSL: who closes the socket there frees what is on the stack
      // (seen as a segmentation fault on Node 26.10).
      setImmediate(() => {
        if (failure !== null) {
          built.sessions.delete(sessionKey);
          secured.destroy();
        }
        const negotiatedAlpn = typeof secured.alpnProtocol === "string" ? secured.alpnProtocol : "";
        const [tlsVersion, tlsCipher] =
          failure === null ? [secured.getProtocol() ?? "", secured.getCipher().name] : ["", ""];
        done(secured, { negotiatedAlpn, peerUriSan, localUriSan: built.localUriSan, tlsVersion, tlsCipher }, failure);
      });
    };
    let failure: SocketFailure | null = null;
    secured.on("error", (error) => {
      failure ??= socketFailure(error);
      finish(failure);
    });
    secured.once("close", () => finish(failure ?? tlsFailure("CLOSED", "CONNECTION_CLOSED", closedWords)));
    secured.on("session", (ticket: Buffer) => {
      // Tickets of TLS 1.2 come before the verdict.
      if (peer === null || !config.resumesSessions) return;
      built.sessions.set(sessionKey, { ticket, peerUriSan: peer.uriSan, notAfterMs: peer.notAfterMs });
    });
    secured.once("secureConnect", () => {
      // An exception here would end the process (CVE-2026-21637).
      try {
        if (session !== undefined && secured.isSessionReused()) {
          // The ticket proves that this is the peer which was verified under the same trust, names and SNI.
          peer = { uriSan: session.peerUriSan, notAfterMs: session.notAfterMs };
          finish(null, session.peerUriSan);
          return;
        }
        const verdict = verifyPeer(secured, config, true, this.#now());
        peer = verdict.failure === null ? verdict.peer : null;
        finish(verdict.failure, verdict.peer?.uriSan);
      } catch (error) {
        finish(socketFailure(error));
      }
    });
  }
}

/** Connections and sessions under equal keys are interchangeable. */
function keyOf(config: UpstreamTlsConfig, alpn: readonly string[]): string {
  const { certificateName, inlineCertificate, validationName, sni, sanMatchers, certificateHashes } = config;
  return JSON.stringify([
    certificateName ?? inlineCertificate?.name,
    validationName,
    sni,
    alpn,
    sanMatchers.map(({ type, oid, description }) => `${type} ${oid} ${description}`),
    certificateHashes,
    config.publicKeyHashes,
    config.acceptsUntrusted,
  ]);
}

const closedWords = "the peer closed the connection during the TLS handshake";
