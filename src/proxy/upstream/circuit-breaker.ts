// HOT: per request. The circuit breaker of a cluster for one routing priority: how much may be under way at once. What is
// taken is given back by who took it. A refusal says which limit is reached. With several threads the limits are those of
// the whole process, and the numbers here those of this thread.
import type { ProcessCell, ProcessCells } from "#base/threads/process-cells.ts";
import type { CircuitBreakerThresholds } from "../config/cluster.ts";
import type { RequestPriority } from "../config/http.ts";
import { FailureKind, type SocketFailure } from "../transport/socket-error.ts";
import type { ClusterCounters } from "./cluster-counters.ts";

/** Fields of the cell that all threads share. */
const CONNECTIONS = 0;
const PENDING = 1;
const REQUESTS = 2;
const RETRIES = 3;

export class CircuitBreaker {
  limits: CircuitBreakerThresholds;
  connections = 0;
  pendingRequests = 0;
  /** Waiting ones among them. */
  requests = 0;
  retries = 0;
  readonly priority: RequestPriority;
  readonly #counters: ClusterCounters;
  /** Null with one thread. */
  #cells: ProcessCells | null;
  readonly #clusterName: string;
  #cell: ProcessCell | null = null;

  constructor(
    priority: RequestPriority,
    limits: CircuitBreakerThresholds,
    counters: ClusterCounters,
    threads: { readonly cells: ProcessCells | null; readonly clusterName: string } = oneThread,
  ) {
    this.priority = priority;
    this.limits = limits;
    this.#counters = counters;
    this.#cells = threads.cells;
    this.#clusterName = threads.clusterName;
  }

  /** Claimed at the first use: most clusters are never used. */
  #shared(): ProcessCell | null {
    if (this.#cell !== null || this.#cells === null) return this.#cell;
    this.#cell = this.#cells.claim(`breaker ${this.priority} ${this.#clusterName}`);
    if (this.#cell === null) this.#cells = null;
    return this.#cell;
  }

  #take(field: number, own: number, limit: number): boolean {
    const cell = this.#shared();
    return cell === null ? own < limit : cell.take(field, limit);
  }

  #total(field: number, own: number): number {
    return this.#shared()?.total(field) ?? own;
  }

  /** Null, or why there may not be another request. */
  takeRequest(): SocketFailure | null {
    if (!this.#take(REQUESTS, this.requests, this.limits.maxRequests)) {
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
    this.#cell?.give(REQUESTS);
    this.#counters.activeRequests--;
  }

  /** Null, or why another request may not wait for a connection. */
  takePendingRequest(): SocketFailure | null {
    if (!this.#take(PENDING, this.pendingRequests, this.limits.maxPendingRequests)) {
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
    this.#cell?.give(PENDING);
    this.#counters.pendingRequests--;
  }

  /** Null, or why there may not be another connection to an endpoint that has so many; the refusal is counted. */
  refuseConnection(endpointConnections: number): SocketFailure | null {
    const { maxConnections, maxConnectionsPerHost } = this.limits;
    const hasRoom = this.#total(CONNECTIONS, this.connections) < maxConnections;
    if (hasRoom && endpointConnections < maxConnectionsPerHost) return null;
    this.#counters.connectionOverflows++;
    return hasRoom
      ? this.overflow("per-host max_connections", maxConnectionsPerHost)
      : this.overflow("max_connections", maxConnections);
  }

  takeConnection(): void {
    this.#take(CONNECTIONS, 0, Number.POSITIVE_INFINITY);
    this.connections++;
    this.#counters.connections++;
    this.#counters.connectionsTotal++;
  }

  giveConnection(): void {
    this.connections--;
    this.#cell?.give(CONNECTIONS);
    this.#counters.connections--;
  }

  /** Whether there may be another retry. */
  takeRetry(): boolean {
    if (!this.#take(RETRIES, this.retries, mostRetries(this.limits, this.#total(REQUESTS, this.requests)))) {
      this.#counters.retryOverflows++;
      return false;
    }
    this.retries++;
    return true;
  }

  giveRetry(): void {
    this.retries--;
    this.#cell?.give(RETRIES);
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

const oneThread = { cells: null, clusterName: "" };

/** A budget grows with the requests; without one the number is fixed. */
export function mostRetries({ retryBudget, maxRetries }: CircuitBreakerThresholds, requests: number): number {
  if (retryBudget === null) return maxRetries;
  return Math.max(retryBudget.minConcurrency, Math.floor((requests * retryBudget.percent) / 100));
}
