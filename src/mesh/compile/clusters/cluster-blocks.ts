// The blocks of a cluster that a traffic policy sets: connection pool, load balancing, outlier detection, protocol.
import type { MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import type { Any, Duration } from "@bufbuild/protobuf/wkt";
import { type CircuitBreakers, CircuitBreakersSchema } from "#wire/gen/envoy/config/cluster/v3/circuit_breaker_pb.ts";
import { Cluster_LbPolicy, type ClusterSchema } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import {
  type OutlierDetection as EnvoyOutlierDetection,
  OutlierDetectionSchema,
} from "#wire/gen/envoy/config/cluster/v3/outlier_detection_pb.ts";
import { HttpProtocolOptionsSchema } from "#wire/gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.ts";
import type {
  ConnectionPoolSettings,
  LoadBalancerSettings,
  OutlierDetection,
  RetryBudget,
  TcpKeepalive,
} from "../../objects/fields/traffic-policy.ts";
import { milliseconds, pack } from "../envoy-values.ts";

export type ClusterInit = Exclude<MessageInitShape<typeof ClusterSchema>, { $typeName: string }>;

const unlimited = 0xffff_ffff;

export function circuitBreakers(pool: ConnectionPoolSettings | undefined, budget?: RetryBudget): CircuitBreakers {
  return create(CircuitBreakersSchema, {
    thresholds: [
      {
        maxConnections: pool?.tcp?.maxConnections || unlimited,
        maxPendingRequests: pool?.http?.http1MaxPendingRequests || unlimited,
        maxRequests: pool?.http?.http2MaxRequests || unlimited,
        // Of no effect beside a budget, and there all the same, as in Istio.
        maxRetries: pool?.http?.maxRetries || unlimited,
        ...(budget !== undefined && {
          retryBudget: {
            budgetPercent: { value: budget.percent ?? 20 },
            minRetryConcurrency: budget.minRetryConcurrency || 3,
          },
        }),
      },
    ],
  });
}

/** Istio never ejects by success rate; consecutive errors only. */
export function outlierDetection(settings: OutlierDetection): EnvoyOutlierDetection {
  const gateway = settings.consecutiveGatewayErrors;
  const fiveXx = settings.consecutive5xxErrors;
  return create(OutlierDetectionSchema, {
    enforcingSuccessRate: 0,
    ...(settings.interval !== undefined && { interval: milliseconds(settings.interval) }),
    ...(settings.baseEjectionTime !== undefined && { baseEjectionTime: milliseconds(settings.baseEjectionTime) }),
    ...(settings.maxEjectionPercent > 0 && { maxEjectionPercent: settings.maxEjectionPercent }),
    ...(fiveXx !== undefined && { consecutive5xx: fiveXx, enforcingConsecutive5xx: fiveXx > 0 ? 100 : 0 }),
    ...(gateway !== undefined && {
      consecutiveGatewayFailure: gateway,
      enforcingConsecutiveGatewayFailure: gateway > 0 ? 100 : 0,
    }),
    ...(settings.splitExternalLocalOriginErrors && {
      splitExternalLocalOriginErrors: true,
      ...(settings.consecutiveLocalOriginFailures && {
        consecutiveLocalOriginFailure: settings.consecutiveLocalOriginFailures,
        enforcingConsecutiveLocalOriginFailure: 100,
      }),
      enforcingLocalOriginSuccessRate: 0,
    }),
  });
}

/** Balancer and its settings. Original destination clusters bring their own. */
export function loadBalancing(settings: LoadBalancerSettings | undefined): ClusterInit {
  const warmup = slowStart(settings);
  if (settings?.consistentHash !== undefined) {
    const { maglev, ringHash, minimumRingSize } = settings.consistentHash;
    if (maglev !== undefined) {
      return {
        lbPolicy: Cluster_LbPolicy.MAGLEV,
        ...(maglev.tableSize > 0 && {
          lbConfig: { case: "maglevLbConfig", value: { tableSize: BigInt(maglev.tableSize) } },
        }),
      };
    }
    const size = ringHash === undefined ? minimumRingSize || 1024 : ringHash.minimumRingSize;
    return {
      lbPolicy: Cluster_LbPolicy.RING_HASH,
      ...(size > 0 && { lbConfig: { case: "ringHashLbConfig", value: { minimumRingSize: BigInt(size) } } }),
    };
  }
  switch (settings?.simple) {
    case "RANDOM":
      return { lbPolicy: Cluster_LbPolicy.RANDOM };
    case "ROUND_ROBIN":
      return {
        lbPolicy: Cluster_LbPolicy.ROUND_ROBIN,
        ...(warmup && { lbConfig: { case: "roundRobinLbConfig", value: { slowStartConfig: warmup } } }),
      };
    case "PASSTHROUGH":
      return { lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED };
    default:
      return {
        lbPolicy: Cluster_LbPolicy.LEAST_REQUEST,
        ...(warmup && { lbConfig: { case: "leastRequestLbConfig", value: { slowStartConfig: warmup } } }),
      };
  }
}

interface SlowStart {
  slowStartWindow: Duration;
  minWeightPercent?: { value: number };
  aggression?: { defaultValue: number; runtimeKey: string };
}

function slowStart(settings: LoadBalancerSettings | undefined): SlowStart | undefined {
  const { warmup, warmupDurationSecs } = settings ?? {};
  const window = warmup?.duration ?? warmupDurationSecs;
  if (window === undefined) return undefined;
  return {
    slowStartWindow: milliseconds(window),
    ...(warmup && { minWeightPercent: { value: warmup.minimumPercent } }),
    // Envoy wants a key; nobody sets this one, which is Istio's.
    ...(warmup && { aggression: { defaultValue: warmup.aggression, runtimeKey: "(" } }),
  };
}

/** TCP keep-alive: the rule's fields over the mesh's. */
export function keepalive(pool: TcpKeepalive | undefined, mesh: TcpKeepalive | undefined): ClusterInit {
  if (pool === undefined && mesh === undefined) return {};
  const probes = pool?.probes || mesh?.probes;
  const time = pool?.time ?? mesh?.time;
  const interval = pool?.interval ?? mesh?.interval;
  return {
    upstreamConnectionOptions: {
      tcpKeepalive: {
        ...(probes && { keepaliveProbes: probes }),
        ...(time !== undefined && { keepaliveTime: Math.ceil(time / 1000) }),
        ...(interval !== undefined && { keepaliveInterval: Math.ceil(interval / 1000) }),
      },
    },
  };
}

export interface HttpOptions {
  readonly protocol: "http1" | "http2" | "downstream";
  readonly pool: ConnectionPoolSettings | undefined;
  /** SNI and names to verify follow the Host header; for TLS of the user's own. */
  readonly autoSni: boolean;
  readonly autoSanValidation: boolean;
}

const extensionKey = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/** Protocol options, or nothing where Envoy's defaults (HTTP/1.1, an hour idle) are meant. */
export function httpProtocolOptions(options: HttpOptions): Record<string, Any> {
  const { protocol } = options;
  const pool = options.pool?.http;
  const common = commonHttpOptions(options.pool);
  const needsUpstream = options.autoSni || options.autoSanValidation;
  if (protocol === "http1" && common === undefined && !needsUpstream) return {};
  const http2ProtocolOptions = {
    ...(pool?.maxConcurrentStreams && { maxConcurrentStreams: pool.maxConcurrentStreams }),
    ...(pool?.http2KeepAlive?.interval !== undefined && {
      connectionKeepalive: {
        interval: milliseconds(pool.http2KeepAlive.interval),
        timeout: milliseconds(pool.http2KeepAlive.timeout ?? 5000),
      },
    }),
  };
  const value = pack(HttpProtocolOptionsSchema, {
    upstreamProtocolOptions:
      protocol === "downstream"
        ? { case: "useDownstreamProtocolConfig", value: { httpProtocolOptions: {}, http2ProtocolOptions } }
        : {
            case: "explicitHttpConfig",
            value: {
              protocolConfig:
                protocol === "http2"
                  ? { case: "http2ProtocolOptions", value: http2ProtocolOptions }
                  : { case: "httpProtocolOptions", value: {} },
            },
          },
    ...(common !== undefined && { commonHttpProtocolOptions: common }),
    ...(needsUpstream && {
      upstreamHttpProtocolOptions: { autoSni: options.autoSni, autoSanValidation: options.autoSanValidation },
    }),
  });
  return { [extensionKey]: value };
}

/** Limits of a connection whatever is spoken on it. The TCP idle timeout holds for HTTP that has none of its own. */
function commonHttpOptions(pool: ConnectionPoolSettings | undefined): HttpLimits | undefined {
  const idle = pool?.http?.idleTimeout ?? pool?.tcp?.idleTimeout;
  const requests = pool?.http?.maxRequestsPerConnection ?? 0;
  const age = pool?.tcp?.maxConnectionDuration;
  if (idle === undefined && requests === 0 && age === undefined) return undefined;
  return {
    ...(idle !== undefined && { idleTimeout: milliseconds(idle) }),
    ...(requests > 0 && { maxRequestsPerConnection: requests }),
    ...(age !== undefined && { maxConnectionDuration: milliseconds(age) }),
  };
}

interface HttpLimits {
  idleTimeout?: Duration;
  maxRequestsPerConnection?: number;
  maxConnectionDuration?: Duration;
}
