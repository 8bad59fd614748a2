// The questions that the proxies of a way are asked, each made of what reaches it.
import type { Decision, Question } from "#proxy/decide/decision.ts";
import type { Target } from "./destination.ts";
import type { ExplainRequest } from "./question.ts";
import type { Caller } from "./vantage.ts";
import type { ExplainWorkload } from "./workload.ts";

export function outboundQuestion(
  source: ExplainWorkload,
  destination: Target,
  request: ExplainRequest,
  random: number,
): Question {
  return {
    destinationIp: destination.host,
    destinationPort: destination.port,
    sourceIp: source.ip,
    tls: ownTls(request),
    http: httpOf(request),
    random,
  };
}

/** A connection that a caller opens to the proxy itself. */
export function inboundQuestion(
  ip: string,
  port: number,
  caller: Caller,
  request: ExplainRequest,
  random: number,
): Question {
  return {
    destinationIp: ip,
    destinationPort: port,
    sourceIp: caller.ip,
    tls: tlsOfCaller(caller, request),
    http: httpOf(request),
    random,
  };
}

function tlsOfCaller(caller: Caller, request: ExplainRequest): Question["tls"] {
  if (caller.tls === "none") return ownTls(request);
  const isMutual = caller.tls === "mutual";
  const usual = !isMutual ? ["h2", "http/1.1"] : request.application === "http" ? meshHttpAlpn : meshTcpAlpn;
  return {
    serverName: caller.sni ?? request.tls?.serverName ?? "",
    alpn: caller.alpn ?? (request.tls === null || isMutual ? usual : request.tls.alpn),
    peerId: isMutual ? caller.identity : undefined,
  };
}

/** What sidecars offer. */
const meshHttpAlpn = ["istio-http/1.1", "istio", "http/1.1"];
const meshTcpAlpn = ["istio-peer-exchange", "istio"];

function ownTls({ tls }: ExplainRequest): Question["tls"] {
  return tls === null ? null : { ...tls, peerId: undefined };
}

/** What the receiving proxy gets from the sending one, or from the application where there is none. */
export function receivedQuestion(
  sender: ExplainWorkload,
  target: Target,
  sent: Decision | undefined,
  request: ExplainRequest,
  random: number,
): Question {
  const tls = sent?.transport?.tls ?? null;
  const isEnded = sent?.chain?.tls != null;
  return {
    destinationIp: target.host,
    destinationPort: target.port,
    sourceIp: sender.ip,
    tls:
      tls === null
        ? isEnded
          ? null
          : ownTls(request)
        : {
            serverName: tls.sni,
            alpn: sent?.upstreamAlpn ?? [],
            peerId: tls.certificateName === null ? undefined : sender.identity,
          },
    // Under TLS that nobody has opened there is nothing to read.
    http: isEnded || request.tls === null ? httpOf(request) : null,
    random,
  };
}

function httpOf(request: ExplainRequest): Question["http"] {
  if (request.application !== "http") return null;
  const { method, authority, path, headers, claims, nowSeconds } = request;
  return {
    method,
    authority,
    path,
    headers,
    ...(claims !== undefined && { claims }),
    ...(nowSeconds !== undefined && { nowSeconds }),
  };
}
