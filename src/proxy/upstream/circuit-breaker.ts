// HOT: per request. The circuit breaker of a cluster for one routing priority: how much may be under way at once. What is
// taken is given back by who took it. A refusal says which limit is reached.
import type { CircuitBreakerThresholds } from "../config/cluster.ts";
import type { RequestPriority } from "../config/http.ts";
import { FailureKind, type SocketFailure } from "../transport/socket-error.ts";
import type { ClusterCounters } from "./cluster-counters.ts";

export class CircuitBreaker {
  limits: CircuitBreakerThresholds;
  connections = 0;
  pendingRequests = 0;
  /** Waiting ones among them. */
  requests = 0;
  retries = 0;
  readonly priority: RequestPriority;
  readonly #counters: ClusterCounters;

  constructor(priority: RequestPriority, limits: CircuitBreakerThresholds, counters: ClusterCounters) {
    this.priority = priority;
    this.limits = limits;
    this.#counters = counters;
  }

  /** Null, or why there may not be another request. */
  takeRequest(): SocketFailure | null {
    if (this.requests >= this.limits.maxRequests) {
      this.#counters.overflows++;
      return this.overflow("max_requests", this.limits.maxRequests);
    }
    this.requests++;
    this.#counters.activeRequests++;
    this.#counters.requestsTotal++;
    return null;
  }

  giveRequest(): void {
    this.requests--;
    this.#counters.activeRequests--;
  }

  /** Null, or why another request may not wait for a connection. */
  takePendingRequest(): SocketFailure | null {
    if (this.pendingRequests >= this.limits.maxPendingRequests) {
      this.#counters.overflows++;
      return this.overflow("max_pending_requests", this.limits.maxPendingRequests);
    }
    this.pendingRequests++;
    this.#counters.pendingRequests++;
    this.#counters.pendingRequestsTotal++;
    return null;
  }

  givePendingRequest(): void {
    this.pendingRequests--;
    this.#counters.pendingRequests--;
  }

  /** Null, or why there may not be another connection to an endpoint that has so many; the refusal is counted. */
  refuseConnection(endpointConnections: number): SocketFailure | null {
    const { maxConnections, maxConnectionsPerHost } = this.limits;
    if (this.connections < maxConnections && endpointConnections < maxConnectionsPerHost) return null;
    this.#counters.connectionOverflows++;
    return this.connections < maxConnections
      ? this.overflow("per-host max_connections", maxConnectionsPerHost)
      : this.overflow("max_connections", maxConnections);
  }

  takeConnection(): void {
    this.connections++;
    this.#counters.connections++;
    this.#counters.connectionsTotal++;
  }

  giveConnection(): void {
    this.connections--;
    this.#counters.connections--;
  }

  /** Whether there may be another retry. */
  takeRetry(): boolean {
    if (this.retries >= this.maxRetries) {
      this.#counters.retryOverflows++;
      return false;
    }
    this.retries++;
    return true;
  }

  giveRetry(): void {
    this.retries--;
  }

  /** A budget grows with the requests; without one the number is fixed. */
  get maxRetries(): number {
    const { retryBudget, maxRetries } = this.limits;
    if (retryBudget === null) return maxRetries;
    return Math.max(retryBudget.minConcurrency, Math.floor((this.requests * retryBudget.percent) / 100));
  }

  /** In words, for the reply. */
  overflow(limit: string, value: number): SocketFailure {
    const high = this.priority === "high" ? " for high priority" : "";
    return {
      kind: FailureKind.Local,
      code: "OVERFLOW",
      transportReason: "",
      words: `the circuit breaker's ${limit}${high} (${value}) is reached`,
    };
  }
}
