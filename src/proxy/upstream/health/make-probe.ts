// The probe that a cluster's configuration asks for, with connections of its own: they do not count among those of
// traffic, and no circuit breaker holds them up.
import { Headers } from "#wire/http/headers.ts";
import { type ClusterConfig, defaultThresholds } from "../../config/cluster.ts";
import type { HealthCheckConfig } from "../../config/health-check.ts";
import type { ProtocolWish } from "../../decide/upstream-protocol.ts";
import type { EventLoop } from "../../transport/event-loop.ts";
import { CircuitBreaker } from "../circuit-breaker.ts";
import { clusterCounters } from "../cluster-counters.ts";
import type { ConnectTarget } from "../connect.ts";
import { UpstreamEndpoint } from "../endpoint.ts";
import { HttpPool } from "../http-pool.ts";
import { grpcQuestion } from "./grpc-question.ts";
import { httpQuestion } from "./http-question.ts";
import type { Probe } from "./probe.ts";
import { RequestProbe } from "./request-probe.ts";
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
  const question =
    check.check.type === "http"
      ? httpQuestion(check.check, own || check.check.host || clusterConfig.name)
      : grpcQuestion(check.check, own || check.check.authority || clusterConfig.name);
  const pools = new ProbePools(endpoint, environment);
  return new RequestProbe({
    question,
    headers: new Headers(),
    isTls: target().tls !== null,
    pool: () => pools.get(),
    closePool: () => pools.close(),
  });
}

/** What the checks' connections speak and offer. One object per checker, because TLS settings are kept by it. */
export function probeProtocol({ alpnProtocols, check }: HealthCheckConfig): ProtocolWish {
  const protocol = check.type === "grpc" || (check.type === "http" && check.usesHttp2) ? "http2" : "http1";
  return { protocol, alpn: alpnProtocols ?? [], key: "check" };
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
      {
        protocol: probeProtocol(check).protocol,
        breaker: new CircuitBreaker("default", defaultThresholds, counters),
        isTooMany: false,
      },
    );
    return this.#pool;
  }

  close(): void {
    this.#pool?.destroy();
    this.#pool = null;
  }
}
