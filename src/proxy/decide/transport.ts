// HOT: per upstream connection. Plaintext or TLS towards an endpoint: the first transport socket match whose labels
// the endpoint carries, as `tlsMode: istio`. The decoder always puts the cluster's own transport socket last.
import type { ClusterConfig, EndpointConfig, TransportSocketMatch } from "../config/cluster.ts";
import { addStep, type Trace } from "../config/trace.ts";

/** Null only for a cluster without any transport, which the decoder never makes. */
export function chooseTransport(
  cluster: ClusterConfig,
  endpoint: Pick<EndpointConfig, "transportMatch" | "key">,
  trace: Trace | null,
): TransportSocketMatch | null {
  const transports = cluster.transports;
  let chosen: TransportSocketMatch | null = null;
  for (let i = 0; i < transports.length && chosen === null; i++) {
    const candidate = transports[i] as TransportSocketMatch;
    if (hasLabels(endpoint.transportMatch, candidate.match)) chosen = candidate;
  }
  if (trace !== null) traceTransport(trace, cluster, endpoint.key, chosen);
  return chosen;
}

function hasLabels(labels: Readonly<Record<string, string>>, wanted: Readonly<Record<string, string>>): boolean {
  for (const name in wanted) if (labels[name] !== wanted[name]) return false;
  return true;
}

function traceTransport(
  trace: Trace,
  cluster: ClusterConfig,
  endpoint: string,
  chosen: TransportSocketMatch | null,
): void {
  const tls = chosen?.tls ?? null;
  const how =
    tls === null
      ? "plaintext"
      : tls.certificateName === null
        ? `TLS with SNI ${tls.sni || "(none)"}`
        : `mutual TLS with SNI ${tls.sni || "(none)"}${describeSans(tls.sanMatchers.map((it) => it.description))}`;
  addStep(trace, "transport", `${how} to ${endpoint} (${chosen?.name ?? "none"})`, cluster.provenance.origins);
}

function describeSans(descriptions: readonly string[]): string {
  return descriptions.length === 0 ? "" : `, server must be ${descriptions.join(" or ")}`;
}
