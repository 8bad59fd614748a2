// Names of the labels and annotations that steer injection, and the check of their values. A bad value refuses the
// pod: silently ignoring `excludeOutboundPorts: 80a` would capture what the user wanted left alone.
import { type Issue, Severity } from "#base/issue.ts";
import { ipVersion } from "#base/net/ip-version.ts";
import { isQuantity } from "./quantity.ts";

export const annotationName = {
  inject: "sidecar.istio.io/inject",
  templates: "inject.istio.io/templates",
  status: "sidecar.istio.io/status",
  overrides: "proxy.istio.io/overrides",
  proxyConfig: "proxy.istio.io/config",
  revision: "istio.io/rev",
  proxyImage: "sidecar.istio.io/proxyImage",
  proxyImageType: "sidecar.istio.io/proxyImageType",
  proxyCpu: "sidecar.istio.io/proxyCPU",
  proxyMemory: "sidecar.istio.io/proxyMemory",
  proxyCpuLimit: "sidecar.istio.io/proxyCPULimit",
  proxyMemoryLimit: "sidecar.istio.io/proxyMemoryLimit",
  interceptionMode: "sidecar.istio.io/interceptionMode",
  logLevel: "sidecar.istio.io/logLevel",
  componentLogLevel: "sidecar.istio.io/componentLogLevel",
  agentLogLevel: "sidecar.istio.io/agentLogLevel",
  rewriteProbes: "sidecar.istio.io/rewriteAppHTTPProbers",
  nativeSidecar: "sidecar.istio.io/nativeSidecar",
  bootstrapOverride: "sidecar.istio.io/bootstrapOverride",
  userVolume: "sidecar.istio.io/userVolume",
  userVolumeMount: "sidecar.istio.io/userVolumeMount",
  capNetBindService: "sidecar.istio.io/capNetBindService",
  statusPort: "status.sidecar.istio.io/port",
  readinessInitialDelay: "readiness.status.sidecar.istio.io/initialDelaySeconds",
  readinessPeriod: "readiness.status.sidecar.istio.io/periodSeconds",
  readinessFailureThreshold: "readiness.status.sidecar.istio.io/failureThreshold",
  readinessApplicationPorts: "readiness.status.sidecar.istio.io/applicationPorts",
  includeOutboundIpRanges: "traffic.sidecar.istio.io/includeOutboundIPRanges",
  excludeOutboundIpRanges: "traffic.sidecar.istio.io/excludeOutboundIPRanges",
  includeInboundPorts: "traffic.sidecar.istio.io/includeInboundPorts",
  excludeInboundPorts: "traffic.sidecar.istio.io/excludeInboundPorts",
  includeOutboundPorts: "traffic.sidecar.istio.io/includeOutboundPorts",
  excludeOutboundPorts: "traffic.sidecar.istio.io/excludeOutboundPorts",
  excludeInterfaces: "traffic.sidecar.istio.io/excludeInterfaces",
  kubevirtInterfaces: "traffic.sidecar.istio.io/kubevirtInterfaces",
  rerouteVirtualInterfaces: "istio.io/reroute-virtual-interfaces",
  mergeMetrics: "prometheus.istio.io/merge-metrics",
  scrapeTargets: "prometheus.istio.io/scrape-targets",
  defaultContainer: "kubectl.kubernetes.io/default-container",
  defaultLogsContainer: "kubectl.kubernetes.io/default-logs-container",
} as const;

/** Returns what is wrong with a value, or undefined. */
type Check = (value: string) => string | undefined;

const booleans = ["1", "t", "T", "true", "TRUE", "True", "0", "f", "F", "false", "FALSE", "False"];

const boolean: Check = (value) => (booleans.includes(value) ? undefined : `"${value}" is not a boolean`);
const unsigned: Check = (value) =>
  /^\d{1,10}$/.test(value) && Number(value) <= 0xffffffff ? undefined : `"${value}" is not a whole number`;
const port: Check = (value) =>
  /^\d{1,5}$/.test(value) && Number(value) <= 65535 ? undefined : `"${value}" is not a port (0-65535)`;
const quantity: Check = (value) => (isQuantity(value) ? undefined : `"${value}" is not a quantity as 100m or 128Mi`);
const interceptionMode: Check = (value) =>
  ["REDIRECT", "TPROXY", "NONE"].includes(value) ? undefined : `"${value}" is not REDIRECT, TPROXY or NONE`;

const portList: Check = (value) => firstProblem(splitList(value), port);
const portListOrAll: Check = (value) => (value === "*" ? undefined : portList(value));
const rangeList: Check = (value) => firstProblem(splitList(value), cidr);
const rangeListOrAll: Check = (value) => (value === "*" ? undefined : rangeList(value));
const interfaceList: Check = (value) =>
  firstProblem(splitList(value), (name) =>
    /^[^\s/]{1,15}$/.test(name) ? undefined : `"${name}" is not the name of a network interface`,
  );

const checks: Readonly<Record<string, Check>> = {
  [annotationName.proxyCpu]: quantity,
  [annotationName.proxyMemory]: quantity,
  [annotationName.proxyCpuLimit]: quantity,
  [annotationName.proxyMemoryLimit]: quantity,
  [annotationName.interceptionMode]: interceptionMode,
  [annotationName.rewriteProbes]: boolean,
  [annotationName.nativeSidecar]: boolean,
  [annotationName.statusPort]: port,
  [annotationName.readinessInitialDelay]: unsigned,
  [annotationName.readinessPeriod]: unsigned,
  [annotationName.readinessFailureThreshold]: unsigned,
  [annotationName.readinessApplicationPorts]: portList,
  [annotationName.includeOutboundIpRanges]: rangeListOrAll,
  [annotationName.excludeOutboundIpRanges]: rangeList,
  [annotationName.includeInboundPorts]: portListOrAll,
  [annotationName.excludeInboundPorts]: portList,
  [annotationName.includeOutboundPorts]: portList,
  [annotationName.excludeOutboundPorts]: portList,
  [annotationName.excludeInterfaces]: interfaceList,
  [annotationName.kubevirtInterfaces]: interfaceList,
  [annotationName.rerouteVirtualInterfaces]: interfaceList,
  [annotationName.mergeMetrics]: boolean,
};

/** Issues for annotations whose value cannot be used. */
export function validateAnnotations(annotations: Readonly<Record<string, string>>): Issue[] {
  const issues: Issue[] = [];
  for (const [name, check] of Object.entries(checks)) {
    const value = annotations[name];
    const problem = value === undefined ? undefined : check(value);
    if (problem !== undefined) issues.push(annotationIssue(name, problem));
  }
  return issues;
}

export function annotationIssue(name: string, problem: string): Issue {
  return {
    code: "IST0125",
    severity: Severity.Error,
    message: `annotation ${name}: ${problem}`,
    path: `metadata.annotations[${name}]`,
  };
}

/** Go's idea of a boolean, as annotations are read. */
export function isTrue(value: string | undefined): boolean {
  return value !== undefined && booleans.indexOf(value) >= 0 && booleans.indexOf(value) < 6;
}

export function splitList(value: string): string[] {
  return value
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

function cidr(value: string): string | undefined {
  const slash = value.indexOf("/");
  const version = ipVersion(slash === -1 ? value : value.slice(0, slash));
  const bits = slash === -1 ? "0" : value.slice(slash + 1);
  const valid =
    slash !== -1 && version !== undefined && /^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128);
  return valid ? undefined : `"${value}" is not an address range as 10.0.0.0/8`;
}

function firstProblem(items: readonly string[], check: Check): string | undefined {
  for (const item of items) {
    const problem = check(item);
    if (problem !== undefined) return problem;
  }
  return undefined;
}
