// `circuit_breakers` by routing priority; of several entries for one priority the first counts.
import type {
  CircuitBreakers,
  CircuitBreakers_Thresholds as Thresholds,
} from "#wire/gen/envoy/config/cluster/v3/circuit_breaker_pb.ts";
import { RoutingPriority } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import { type CircuitBreakerThresholds, type ClusterConfig, defaultThresholds } from "./cluster.ts";
import type { Problems } from "./problems.ts";

export function decodeCircuitBreakers(
  breakers: CircuitBreakers | undefined,
  problems: Problems,
): ClusterConfig["circuitBreakers"] {
  for (const [i, it] of (breakers?.perHostThresholds ?? []).entries()) {
    const { maxPendingRequests, maxRequests, maxRetries, maxConnectionPools, retryBudget } = it;
    const others = [maxPendingRequests, maxRequests, maxRetries, maxConnectionPools, retryBudget];
    if (others.some((limit) => limit !== undefined)) {
      problems.unsupported(`circuit_breakers.per_host_thresholds[${i}]`, "a limit per host other than max_connections");
    }
  }
  return {
    default: decodeThresholds(breakers, RoutingPriority.DEFAULT, problems),
    high: decodeThresholds(breakers, RoutingPriority.HIGH, problems),
  };
}

function decodeThresholds(
  breakers: CircuitBreakers | undefined,
  priority: RoutingPriority,
  problems: Problems,
): CircuitBreakerThresholds {
  const limits = breakers?.thresholds.find((it) => it.priority === priority);
  const perHost = breakers?.perHostThresholds.find((it) => it.priority === priority);
  return {
    maxConnections: limits?.maxConnections ?? defaultThresholds.maxConnections,
    maxPendingRequests: limits?.maxPendingRequests ?? defaultThresholds.maxPendingRequests,
    maxRequests: limits?.maxRequests ?? defaultThresholds.maxRequests,
    maxRetries: limits?.maxRetries ?? defaultThresholds.maxRetries,
    retryBudget: decodeRetryBudget(limits, problems),
    maxConnectionPools: limits?.maxConnectionPools ?? Number.POSITIVE_INFINITY,
    maxConnectionsPerHost: perHost?.maxConnections ?? Number.POSITIVE_INFINITY,
    tracksRemaining: limits?.trackRemaining ?? false,
  };
}

function decodeRetryBudget(
  limits: Thresholds | undefined,
  problems: Problems,
): CircuitBreakerThresholds["retryBudget"] {
  const budget = limits?.retryBudget;
  if (budget === undefined) return null;
  const percent = budget.budgetPercent?.value ?? 20;
  if (percent < 0 || percent > 100) {
    problems.invalid("circuit_breakers.thresholds.retry_budget.budget_percent", `${percent} is not a percentage`);
  }
  return { percent, minConcurrency: budget.minRetryConcurrency ?? 3 };
}
