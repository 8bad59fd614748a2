// Says in words why a cluster gives no endpoint: for the cause of a local reply.
import { describeFlags, FAILED_ACTIVE_HC, isUnhealthy, PENDING_ACTIVE_HC } from "./balance/host.ts";
import type { Cluster } from "./cluster.ts";
import type { UpstreamEndpoint } from "./endpoint.ts";
import { describeEjection } from "./outlier/ejection.ts";

/** Endpoints of which more is said than their number. */
const mostNamed = 8;

export function whyNoEndpoint(
  cluster: Cluster,
  connection: { readonly isOwnAddress: boolean; readonly destinationAddress: string },
  dynamicHost: string | null,
): string {
  const { name, type } = cluster.config;
  if (type === "original_dst") {
    return connection.isOwnAddress
      ? `cluster ${name}: ${connection.destinationAddress} is this proxy itself`
      : `cluster ${name}: nothing says where to go`;
  }
  if (type === "dynamic_forward_proxy") return whyNoHost(cluster, dynamicHost);
  const { endpoints } = cluster;
  if (endpoints.length === 0) return `cluster ${name} has no endpoints`;
  const now = cluster.loop.clock.now();
  const named = endpoints.slice(0, mostNamed).map((endpoint) => `${endpoint.config.key} ${stateOf(endpoint, now)}`);
  const more = endpoints.length > mostNamed ? `, and ${endpoints.length - mostNamed} more` : "";
  const none = endpoints.some((endpoint) => !isUnhealthy(endpoint.healthFlags))
    ? "none of them may be used for this"
    : "none can be used";
  return `cluster ${name} has ${endpoints.length} endpoints and ${none}: ${named.join("; ")}${more}`;
}

function whyNoHost({ config, endpoints, loop }: Cluster, dynamicHost: string | null): string {
  const cache = config.forwardProxy?.cache.name ?? "";
  if (dynamicHost === null) {
    return `cluster ${config.name}: no dynamic_forward_proxy filter with the DNS cache ${cache} looked the host up`;
  }
  const ejected = endpoints.find(({ outlier }) => outlier?.ejection != null);
  if (ejected?.outlier?.ejection == null) return `cluster ${config.name}: ${dynamicHost} is not known any more`;
  const state = describeEjection(ejected.outlier.ejection, loop.clock.now());
  return `cluster ${config.name}: ${dynamicHost} at ${ejected.config.key} is ${state}`;
}

function stateOf(endpoint: UpstreamEndpoint, now: number): string {
  const { healthFlags, checks, config, outlier } = endpoint;
  if (outlier?.ejection != null) return `is ${describeEjection(outlier.ejection, now)}`;
  if ((healthFlags & PENDING_ACTIVE_HC) !== 0) return "was not checked yet";
  if ((healthFlags & FAILED_ACTIVE_HC) !== 0) return `fails its health checks: ${checks?.lastFailure ?? "not asked"}`;
  if (!isUnhealthy(healthFlags)) return "is well";
  return `is ${config.health === "unknown" || config.health === "healthy" ? describeFlags(healthFlags) : config.health}`;
}
