// The traffic policy in force for one port and subset of a service.
//
// | said where                                   | effect                                              |
// |----------------------------------------------|-----------------------------------------------------|
// | rule, portLevelSettings for the port         | replaces the rule's four port blocks, inherits none  |
// | rule, top level                              | holds for ports without settings of their own        |
// | subset, top level                            | replaces block by block                              |
// | subset, portLevelSettings for the port       | replaces the four port blocks, also with nothing     |
// | meshConfig.defaultTrafficPolicy              | fills connectionPool and outlierDetection if absent  |
import type {
  ClientTlsSettings,
  ConnectionPoolSettings,
  LoadBalancerSettings,
  OutlierDetection,
  ProxyProtocol,
  RetryBudget,
  TrafficPolicy,
  TunnelSettings,
} from "../../objects/fields/traffic-policy.ts";

export interface EffectivePolicy {
  readonly loadBalancer?: LoadBalancerSettings | undefined;
  readonly connectionPool?: ConnectionPoolSettings | undefined;
  readonly outlierDetection?: OutlierDetection | undefined;
  readonly tls?: ClientTlsSettings | undefined;
  readonly tunnel?: TunnelSettings | undefined;
  readonly proxyProtocol?: ProxyProtocol | undefined;
  readonly retryBudget?: RetryBudget | undefined;
}

export interface PolicyDefaults {
  readonly connectionPool?: ConnectionPoolSettings;
  readonly outlierDetection?: OutlierDetection;
}

export function effectivePolicy(
  rule: TrafficPolicy | undefined,
  subset: TrafficPolicy | undefined,
  port: number,
  defaults: PolicyDefaults = {},
): EffectivePolicy {
  const base = rule === undefined ? {} : forPort(rule, port);
  const overlaid = subset === undefined ? base : overlay(base, subset, port);
  return {
    ...overlaid,
    connectionPool: overlaid.connectionPool ?? defaults.connectionPool,
    outlierDetection: overlaid.outlierDetection ?? defaults.outlierDetection,
  };
}

function forPort(policy: TrafficPolicy, port: number): EffectivePolicy {
  const ofPort = policy.portLevelSettings.find((settings) => settings.port?.number === port);
  const { tunnel, proxyProtocol, retryBudget } = policy;
  const blocks = ofPort ?? policy;
  return {
    loadBalancer: blocks.loadBalancer,
    connectionPool: blocks.connectionPool,
    outlierDetection: blocks.outlierDetection,
    tls: blocks.tls,
    tunnel,
    proxyProtocol,
    retryBudget,
  };
}

function overlay(base: EffectivePolicy, subset: TrafficPolicy, port: number): EffectivePolicy {
  const merged: EffectivePolicy = {
    loadBalancer: subset.loadBalancer ?? base.loadBalancer,
    connectionPool: subset.connectionPool ?? base.connectionPool,
    outlierDetection: subset.outlierDetection ?? base.outlierDetection,
    tls: subset.tls ?? base.tls,
    tunnel: subset.tunnel ?? base.tunnel,
    proxyProtocol: subset.proxyProtocol ?? base.proxyProtocol,
    retryBudget: subset.retryBudget ?? base.retryBudget,
  };
  const ofPort = subset.portLevelSettings.find((settings) => settings.port?.number === port);
  if (ofPort === undefined) return merged;
  const { loadBalancer, connectionPool, outlierDetection, tls } = ofPort;
  return { ...merged, loadBalancer, connectionPool, outlierDetection, tls };
}
