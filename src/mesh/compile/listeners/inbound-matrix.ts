// Which filter chains an inbound port has, by its declared protocol and the mutual TLS mode in force:
//
// | declared | PERMISSIVE                                             | STRICT                     | DISABLE            |
// |----------|--------------------------------------------------------|----------------------------|--------------------|
// | HTTP     | mutual TLS → HTTP; plaintext → HTTP                    | TLS → HTTP                 | plaintext → HTTP   |
// | TCP      | mutual TLS → TCP; plaintext → TCP; other TLS → TCP     | TLS → TCP                  | plaintext → TCP    |
// | sniffed  | mutual TLS HTTP → HTTP; plaintext HTTP → HTTP;         | mutual TLS HTTP → HTTP;    | plaintext HTTP →   |
// |          | mutual TLS → TCP; plaintext → TCP; other TLS → TCP     | TLS → TCP                  | HTTP; → TCP        |
//
// "TLS" chains end TLS with the workload's certificate; "other TLS" is the application's own and passes as it is.
import type { EffectiveMtlsMode } from "../../kinds/peer-authentication/spec.ts";
import type { ListenerProtocol } from "../protocol.ts";
import type { ChainMatch } from "./chain.ts";

export interface InboundChainChoice {
  readonly match: ChainMatch;
  readonly protocol: "http" | "tcp";
  readonly terminatesTls: boolean;
}

/** ALPN of HTTP between sidecars, and of any mutual TLS between them. */
const meshHttpAlpn = ["istio-http/1.0", "istio-http/1.1", "istio-h2"];
const meshTcpAlpn = ["istio-peer-exchange", "istio"];
const meshAlpn = ["istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2"];
const tlsHttpAlpn = ["http/1.0", "http/1.1", "h2"];
const plaintextHttpAlpn = ["http/1.0", "http/1.1", "h2c"];

type Protocol = InboundChainChoice["protocol"];

const endsTls = (protocol: Protocol, applicationProtocols: string[] = []): InboundChainChoice => ({
  match: { transportProtocol: "tls", applicationProtocols },
  protocol,
  terminatesTls: true,
});

const plaintext = (protocol: Protocol, applicationProtocols: string[] = []): InboundChainChoice => ({
  match: { transportProtocol: "raw_buffer", applicationProtocols },
  protocol,
  terminatesTls: false,
});

const otherTls: InboundChainChoice = { match: { transportProtocol: "tls" }, protocol: "tcp", terminatesTls: false };

/** Chains that end TLS of the user's own; plaintext is refused. */
export function userTlsChainChoices(declared: ListenerProtocol): readonly InboundChainChoice[] {
  if (declared === "auto") return [endsTls("http", tlsHttpAlpn), endsTls("tcp")];
  return [endsTls(declared)];
}

export function inboundChainChoices(
  declared: ListenerProtocol,
  mode: EffectiveMtlsMode,
): readonly InboundChainChoice[] {
  switch (declared) {
    case "http":
      if (mode === "STRICT") return [endsTls("http")];
      if (mode === "DISABLE") return [plaintext("http")];
      return [endsTls("http", meshAlpn), plaintext("http")];
    case "tcp":
      if (mode === "STRICT") return [endsTls("tcp")];
      if (mode === "DISABLE") return [plaintext("tcp")];
      return [endsTls("tcp", meshAlpn), plaintext("tcp"), otherTls];
    case "auto":
      if (mode === "STRICT") return [endsTls("http", meshHttpAlpn), endsTls("tcp")];
      if (mode === "DISABLE") return [plaintext("http", plaintextHttpAlpn), plaintext("tcp")];
      return [
        endsTls("http", meshHttpAlpn),
        plaintext("http", plaintextHttpAlpn),
        endsTls("tcp", meshTcpAlpn),
        plaintext("tcp"),
        otherTls,
      ];
  }
}
