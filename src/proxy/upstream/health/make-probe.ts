// The probe that a cluster's configuration asks for, with connections of its own: they do not count among those of
// traffic, and no circuit breaker holds them up.
import { type ClusterConfig, defaultThresholds } from "../../config/cluster.ts";
import type { HealthCheckConfig } from "../../config/health-check.ts";
import type { EventLoop } from "../../transport/event-loop.ts";
import { CircuitBreaker } from "../circuit-breaker.ts";
import { clusterCounters } from "../cluster-counters.ts";
import type { ConnectTarget } from "../connect.ts";
import { UpstreamEndpoint } from "../endpoint.ts";
import { HttpPool } from "../http-pool.ts";
import { HttpProbe } from "./http-probe.ts";
import type { Probe } from "./probe.ts";
import { TcpProbe } from "./tcp-probe.ts";

export interface ProbeEnvironment {
  readonly loop: EventLoop;
  readonly clusterConfig: ClusterConfig;
  readonly check: HealthCheckConfig;
  /** Where and how to connect, for the configuration of now. */
  readonly target: (endpoint: UpstreamEndpoint) => ConnectTarget;
}

export function makeProbe(endpoint: UpstreamEndpoint, environment: ProbeEnvironment): Probe {
  const { loop, check, clusterConfig } = environment;
  const target = (): ConnectTarget => environment.target(endpoint);
  if (check.check.type === "tcp") return new TcpProbe(loop, check.check, target, check.reusesConnection);
  const own = endpoint.config.healthCheck?.hostname ?? "";
  const pools = new ProbePools(endpoint, environment);
  return new HttpProbe({
    check: check.check,
    authority: own || check.check.host || clusterConfig.name,
    isTls: target().tls !== null,
    pool: () => pools.get(),
    closePool: () => pools.close(),
  });
}

/** A pool with at most one connection, for one probe. */
class ProbePools {
  readonly #endpoint: UpstreamEndpoint;
  readonly #environment: ProbeEnvironment;
  #pool: HttpPool | null = null;

  constructor(endpoint: UpstreamEndpoint, environment: ProbeEnvironment) {
    this.#endpoint = endpoint;
    this.#environment = environment;
  }

  get(): HttpPool {
    if (this.#pool !== null) return this.#pool;
    const { loop, check, clusterConfig, target } = this.#environment;
    const counters = clusterCounters();
    const config: ClusterConfig = { ...clusterConfig, maxRequestsPerConnection: check.reusesConnection ? 0 : 1 };
    this.#pool = new HttpPool(
      { loop, config, counters },
      new UpstreamEndpoint(this.#endpoint.config, 0),
      target(this.#endpoint),
      { protocol: "http1", breaker: new CircuitBreaker("default", defaultThresholds, counters), isTooMany: false },
    );
    return this.#pool;
  }

  close(): void {
    this.#pool?.destroy();
    this.#pool = null;
  }
}
