// Runtime shape of `health_checks`: how endpoints are asked whether they are well, how often, and how many answers make
// a state.
import type { StringMatcher } from "./matcher.ts";

export interface HealthCheckConfig {
  readonly timeoutMs: number;
  readonly intervals: HealthCheckIntervals;
  readonly initialJitterMs: number;
  readonly intervalJitterMs: number;
  readonly intervalJitterPercent: number;
  readonly unhealthyThreshold: number;
  readonly healthyThreshold: number;
  readonly reusesConnection: boolean;
  readonly alwaysLogsFailures: boolean;
  readonly alwaysLogsSuccess: boolean;
  /** ALPN of the checks' own connections; null: as traffic. */
  readonly alpnProtocols: readonly string[] | null;
  /** Labels to choose a transport socket match by, instead of the endpoint's; null: the endpoint's. */
  readonly transportMatch: Readonly<Record<string, string>> | null;
  readonly check: HttpHealthCheck | TcpHealthCheck | GrpcHealthCheck;
  /** Two configurations of equal shape ask the same way. */
  readonly shape: string;
}

/** Between two checks of one endpoint, by its state; in milliseconds. */
interface HealthCheckIntervals {
  readonly healthy: number;
  /** While the cluster carried no traffic yet. */
  readonly noTraffic: number;
  readonly noTrafficHealthy: number;
  readonly unhealthy: number;
  /** The first check after an endpoint became unhealthy or healthy. */
  readonly unhealthyEdge: number;
  readonly healthyEdge: number;
}

export interface HttpHealthCheck {
  readonly type: "http";
  readonly method: string;
  /** Empty: the cluster's name. */
  readonly host: string;
  readonly path: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** In lower case. */
  readonly removedHeaders: readonly string[];
  readonly expects: (status: number) => boolean;
  /** These count towards the threshold; every other unexpected status makes unhealthy at once. */
  readonly retries: (status: number) => boolean;
  readonly receive: readonly Buffer[];
  /** How much of the body is looked at; 0: all that is kept. */
  readonly responseBufferBytes: number;
  /** Of `x-envoy-upstream-healthchecked-cluster`; null: anybody. */
  readonly serviceName: StringMatcher | null;
  readonly usesHttp2: boolean;
}

export interface TcpHealthCheck {
  readonly type: "tcp";
  /** Empty: connecting is enough. */
  readonly send: Buffer;
  readonly receive: readonly Buffer[];
}

export interface GrpcHealthCheck {
  readonly type: "grpc";
  /** Empty: the server as a whole. */
  readonly serviceName: string;
  /** Empty: the cluster's name. */
  readonly authority: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
}
