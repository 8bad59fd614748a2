// What a client's proxy uses towards the endpoints of its services: plaintext, TLS, or mutual TLS, and whether the proxy
// there takes it. The client's part is its compiled clusters, the server's the walk that `explain` takes.
import type { Origin } from "#base/issue.ts";
import { parseOutboundClusterName } from "#mesh/compile/names.ts";
import type { ProxyNode } from "#mesh/snapshot/proxy-node.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import type { ClusterConfig, TransportSocketMatch } from "#proxy/config/cluster.ts";
import { decideGateway, decideInbound } from "#proxy/decide/decide.ts";
import type { Decision, Question } from "#proxy/decide/decision.ts";
import { chooseTransport } from "#proxy/decide/transport.ts";
import { endpointsOf, type ProxyView } from "#proxy/decide/view.ts";

export type ClientTls = "mutual TLS" | "TLS" | "plaintext";

export interface ClientUse {
  readonly service: string;
  /** Of the service. */
  readonly port: number;
  readonly subset: string;
  readonly endpoint: { readonly host: string; readonly port: number };
  readonly tls: ClientTls;
  /** With the identity that the mesh gave it, and not a certificate of the user's own. */
  readonly isMeshTls: boolean;
  /** The DestinationRule that has a say in it. */
  readonly rule: Origin | null;
  readonly handshake: Question["tls"];
}

/** Of every service that the client's proxy knows, or of one. */
export function clientUses(view: ProxyView, snapshot: MeshSnapshot, identity: string, only?: string): ClientUse[] {
  return [...view.clusters.values()].flatMap((cluster) => {
    const key = parseOutboundClusterName(cluster.name);
    if (key === undefined || (only !== undefined && key.host !== only)) return [];
    return targetsOf(view, snapshot, cluster, key).map(({ endpoint, transport }): ClientUse => {
      const tls = transport?.tls ?? null;
      const isMutual = tls !== null && tls.certificateName !== null;
      return {
        service: key.host,
        port: key.port,
        subset: key.subset,
        endpoint,
        tls: tls === null ? "plaintext" : isMutual ? "mutual TLS" : "TLS",
        isMeshTls: tls?.certificateName === workloadCertificate,
        rule: cluster.provenance.origins.find(({ kind }) => kind === "DestinationRule") ?? null,
        handshake:
          tls === null
            ? null
            : { serverName: tls.sni, alpn: tls.alpnProtocols, peerId: isMutual ? identity : undefined },
      };
    });
  });
}

/** By the name that SDS knows it by. */
const workloadCertificate = "default";

interface Target {
  readonly endpoint: ClientUse["endpoint"];
  readonly transport: TransportSocketMatch | null;
}

function targetsOf(
  view: ProxyView,
  snapshot: MeshSnapshot,
  cluster: ClusterConfig,
  { host, port }: { readonly host: string; readonly port: number },
): Target[] {
  if (cluster.type !== "original_dst") {
    return (endpointsOf(view, cluster)?.endpoints ?? []).map((endpoint) => ({
      endpoint,
      transport: chooseTransport(cluster, endpoint, null),
    }));
  }
  // The application chooses the address itself.
  const service = snapshot.services.find(({ hostname }) => hostname === host);
  const endpoints = service === undefined ? [] : snapshot.endpoints(service, port);
  const transport = cluster.transports.at(-1) ?? null;
  return endpoints.map(({ address, port: target }) => ({ endpoint: { host: address, port: target }, transport }));
}

export interface TlsVerdict {
  readonly fits: boolean;
  /** Why not; empty when it does. */
  readonly reason: string;
}

/** `server` undefined: the endpoint has no proxy. */
export function judgeTls(
  views: { of(node: ProxyNode): ProxyView },
  { tls, isMeshTls, handshake, endpoint }: Pick<ClientUse, "tls" | "isMeshTls" | "handshake" | "endpoint">,
  server: ProxyNode | undefined,
  clientIp: string,
): TlsVerdict {
  const decision =
    server === undefined ? undefined : decideConnection(views.of(server), server, { endpoint, handshake, clientIp });
  if (decision !== undefined && isRefusedConnection(decision)) return { fits: false, reason: decision.reason };
  if (!isMeshTls || decision?.chain?.tls != null) return { fits: true, reason: "" };
  const who = server === undefined ? "there is no sidecar that could take it" : "the sidecar there does not take it";
  return { fits: false, reason: `${tls} of the mesh is sent, and ${who}` };
}

/** How the proxy takes a connection, whatever is sent over it. */
export function decideConnection(
  view: ProxyView,
  server: ProxyNode,
  { endpoint, handshake, clientIp }: Pick<ClientUse, "endpoint" | "handshake"> & { readonly clientIp: string },
): Decision {
  const { host: destinationIp, port: destinationPort } = endpoint;
  const question = { destinationIp, destinationPort, sourceIp: clientIp, tls: handshake, http: null, random: 0 };
  return server.type === "router" ? decideGateway(view, question, null) : decideInbound(view, question, null);
}

/** Closed by the listener, for what is spoken; not by a policy, for who it is, nor because nobody listens. */
export function isRefusedConnection({ outcome, status, authorization, listener }: Decision): boolean {
  return outcome === "refused" && status === null && listener !== null && authorization.every(({ allowed }) => allowed);
}
