// The last part of the walk through a proxy: cluster, endpoint, transport.
import { noteText } from "#wire/xds/provenance.ts";
import type { ClusterConfig } from "../config/cluster.ts";
import { addStep, type Trace } from "../config/trace.ts";
import { anyHost, type ChoiceContext } from "../upstream/balance/choice.ts";
import { complete, type Decision, type Draft, type Question, refuse } from "./decision.ts";
import { chooseEndpoint } from "./endpoint.ts";
import { requestHash } from "./request-hash.ts";
import { requestOf } from "./subject.ts";
import { chooseTransport } from "./transport.ts";
import { offeredAlpn, protocolFor } from "./upstream-protocol.ts";
import type { ProxyView } from "./view.ts";

export interface Target {
  readonly name: string;
  /** Of a dynamic forward proxy; undefined: nobody looked one up. */
  readonly hostIn: (cluster: ClusterConfig) => string | undefined;
  readonly overridesAlpn: boolean;
}

/** Explained requests are HTTP/1 without an Upgrade. */
const plainRequest = { isHttp2Request: false, isTunnelRequest: false };

export function decideCluster(
  view: ProxyView,
  { name, hostIn, overridesAlpn }: Target,
  question: Question,
  draft: Draft,
  trace: Trace | null,
): Decision {
  const status = question.http === null ? null : 503;
  const cluster = view.clusters.get(name) ?? null;
  if (cluster === null) return refuse(draft, status, `the cluster ${name || "(none)"} does not exist`, trace);
  const context = { ...contextOf(draft, question, trace), dynamicHost: hostIn(cluster) ?? null };
  const { endpoints, endpoint } = chooseEndpoint(view, cluster, context, question.random);
  if (endpoint === null) {
    const why = whyNoEndpoint(cluster);
    const note = question.http === null ? noteText(draft.chain?.provenance) : "";
    return refuse({ ...draft, cluster }, status, `the cluster ${name} ${why}${note}`, trace);
  }
  if (trace !== null) {
    const others = endpoints.length === 1 ? "the only one" : `one of ${endpoints.length}`;
    addStep(trace, "endpoint", `${endpoint.key} (${others} of ${name})`, cluster.provenance.origins);
  }
  const transport = chooseTransport(cluster, endpoint, trace);
  const tls = transport?.tls ?? null;
  const upstreamAlpn = tls === null ? [] : offeredAlpn(protocolFor(cluster, plainRequest, overridesAlpn), tls);
  return complete({ ...draft, outcome: "forwarded", cluster, endpoints, endpoint, transport, upstreamAlpn });
}

function whyNoEndpoint({ forwardProxy, type }: ClusterConfig): string {
  if (type === "original_dst") return "leads back to this proxy itself";
  return forwardProxy === null ? "has no healthy endpoint" : "is told no host";
}

/** A listener on a port of its own, to which nothing is redirected: who connects there wants to go nowhere else. */
function isDestination({ listener }: Draft): boolean {
  return listener !== null && listener.bindToPort && !listener.useOriginalDst && !listener.originalDst;
}

/** What a balancer may look at. */
function contextOf(draft: Draft, question: Question, trace: Trace | null): ChoiceContext {
  const { destinationIp: ip, destinationPort: port, http, sourceIp } = question;
  const { route } = draft;
  const action = route?.route.action;
  const hash =
    action?.type !== "forward" || http === null
      ? null
      : requestHash(action.forward.hashPolicies, { path: http.path, header: requestOf(http).header, sourceIp }, trace);
  return {
    ...anyHost,
    destination: isDestination(draft) ? null : { ip, port },
    hash,
    metadataMatch: route?.cluster?.metadataMatch ?? null,
    headers: http === null ? null : { get: requestOf(http).header },
  };
}
