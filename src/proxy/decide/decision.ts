// What is asked of one proxy, and what it decides.
import type { ClusterConfig, EndpointConfig, TransportSocketMatch } from "../config/cluster.ts";
import type { Chance, FilterMetadata } from "../config/http.ts";
import type { FilterChainConfig, ListenerConfig } from "../config/listener.ts";
import type { RbacVerdict } from "../config/rbac.ts";
import { addStep, type Trace } from "../config/trace.ts";
import type { RouteDecision } from "./route.ts";

export interface HttpQuestion {
  readonly method: string;
  readonly authority: string;
  /** With query. */
  readonly path: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** Claims of a token that is taken for good; absent: the headers may carry one. */
  readonly claims?: Readonly<Record<string, unknown>>;
  /** For tokens, in seconds since 1970; absent: 0, at which no token has expired. */
  readonly nowSeconds?: number;
}

export interface Question {
  readonly destinationIp: string;
  readonly destinationPort: number;
  readonly sourceIp: string;
  /** What the client begins with: TLS (with what it offers and who it is), or null for plaintext. */
  readonly tls: {
    readonly serverName: string;
    readonly alpn: readonly string[];
    readonly peerId: string | undefined;
  } | null;
  /** Null for a TCP connection without HTTP in it. */
  readonly http: HttpQuestion | null;
  /** A draw from [0, 1) for weights and endpoints. */
  readonly random: number;
}

export interface Decision {
  /** `refused`: closed, or answered with 403 or 404 or 503. `answered`: a redirect or direct response. */
  readonly outcome: "forwarded" | "answered" | "refused";
  /** In words, for a refusal or an answer; empty when forwarded. */
  readonly reason: string;
  /** Status of a local answer; null for TCP and for forwarded requests. */
  readonly status: number | null;
  readonly listener: ListenerConfig | null;
  readonly chain: FilterChainConfig | null;
  /** Of every filter that authorizes, in their order. */
  readonly authorization: readonly LayeredVerdict[];
  /** What happens to a share of such requests before they are routed. */
  readonly chances: readonly Chance[];
  readonly route: RouteDecision | null;
  /** Where such traffic goes, by share; empty when it goes nowhere. */
  readonly destinations: readonly Destination[];
  readonly cluster: ClusterConfig | null;
  /** Those that traffic may go to now. */
  readonly endpoints: readonly EndpointConfig[];
  readonly endpoint: EndpointConfig | null;
  readonly transport: TransportSocketMatch | null;
  /** What this proxy offers in ALPN when the transport is TLS. */
  readonly upstreamAlpn: readonly string[];
}

export interface LayeredVerdict extends RbacVerdict {
  /** Of the connection, or of the request. */
  readonly layer: "network" | "http";
}

interface Destination {
  readonly cluster: string;
  /** From 0 to 1. */
  readonly share: number;
}

/** A decision while it is made. */
export interface Draft extends Partial<Decision> {
  readonly listener: ListenerConfig | null;
}

/** Dynamic metadata, by filter. */
export type ToldMetadata = Map<string, Record<string, unknown>>;

export function remember(told: ToldMetadata, metadata: readonly FilterMetadata[] = []): void {
  for (const { namespace, values } of metadata) told.set(namespace, { ...told.get(namespace), ...values });
}

export function sharesOf(clusters: readonly { readonly name: string; readonly weight: number }[]): Destination[] {
  const total = clusters.reduce((sum, { weight }) => sum + weight, 0);
  return clusters
    .filter(({ weight }) => weight > 0 || clusters.length === 1)
    .map(({ name, weight }) => ({ cluster: name, share: clusters.length === 1 ? 1 : weight / total }));
}

export function missingSettings(name: string): string {
  return `the settings of the filter ${name} have not come over ECDS`;
}

export function refuse(draft: Draft, status: number | null, reason: string, trace: Trace | null): Decision {
  addStep(trace, "outcome", status === null ? `closed: ${reason}` : `${status}: ${reason}`);
  return complete({ ...draft, outcome: "refused", status, reason });
}

export function answer(draft: Draft, status: number | null, reason: string): Decision {
  return complete({ ...draft, outcome: "answered", status, reason });
}

export function complete(draft: Draft): Decision {
  return {
    outcome: "refused",
    reason: "",
    status: null,
    chain: null,
    authorization: [],
    chances: [],
    route: null,
    destinations: [],
    cluster: null,
    endpoints: [],
    endpoint: null,
    transport: null,
    upstreamAlpn: [],
    ...draft,
  };
}
