// The installation values (Helm's) that injection reads, with defaults. Key names are those of Istio's charts.
import { isRecord, type JsonRecord, type Resources } from "./pod.ts";

export interface InjectionValues {
  readonly hub: string;
  readonly tag: string;
  readonly variant: string;
  readonly revision: string;
  readonly istioNamespace: string;
  readonly imagePullPolicy: string;
  readonly imagePullSecrets: readonly string[];
  readonly agentLogLevel: string;
  readonly logAsJson: boolean;
  readonly caAddress: string;
  readonly certProvider: string;
  /** The mesh's roots come from a ClusterTrustBundle (`pilot.env.ENABLE_CLUSTER_TRUST_BUNDLE_API`). */
  readonly clusterTrustBundle: boolean;
  readonly clusterName: string;
  readonly network: string;
  readonly meshId: string;
  readonly trustDomain: string;
  readonly stsPort: number;
  readonly tokenAudience: string;
  readonly nativeNftables: boolean;
  readonly forceApplyIptables: boolean;
  readonly rewriteProbes: boolean;
  readonly cniEnabled: boolean;
  readonly cniProvider: string;
  readonly proxy: ProxyValues;
  readonly proxyInitImage: string;
}

interface ProxyValues {
  readonly image: string;
  readonly clusterDomain: string;
  readonly logLevel: string;
  readonly componentLogLevel: string;
  readonly includeIpRanges: string;
  readonly excludeIpRanges: string;
  readonly includeInboundPorts: string;
  readonly excludeInboundPorts: string;
  readonly includeOutboundPorts: string;
  readonly excludeOutboundPorts: string;
  readonly statusPort: string;
  readonly readinessInitialDelaySeconds: string;
  readonly readinessPeriodSeconds: string;
  readonly readinessFailureThreshold: string;
  readonly startupProbe: { readonly enabled: boolean; readonly failureThreshold: number };
  readonly resources: Resources;
  readonly privileged: boolean;
  readonly outlierLogPath: string;
  readonly lifecycle: JsonRecord | undefined;
  readonly holdApplicationUntilProxyStarts: boolean;
}

const defaultResources: Resources = {
  requests: { cpu: "100m", memory: "128Mi" },
  limits: { cpu: "2000m", memory: "1024Mi" },
};

export function readValues(values: JsonRecord = {}): InjectionValues {
  const global = child(values, "global");
  const init = child(global, "proxy_init");
  const cni = child(child(values, "pilot"), "cni");
  const webhook = child(values, "sidecarInjectorWebhook");
  return {
    hub: text(global, "hub", text(values, "hub", "outrigger")),
    tag: text(global, "tag", text(values, "tag", "0.1.0")),
    variant: text(global, "variant", ""),
    revision: text(values, "revision", ""),
    istioNamespace: text(global, "istioNamespace", "istio-system"),
    imagePullPolicy: text(global, "imagePullPolicy", ""),
    imagePullSecrets: list(global, "imagePullSecrets"),
    agentLogLevel: text(child(global, "logging"), "level", "default:info"),
    logAsJson: flag(global, "logAsJson", false),
    caAddress: text(global, "caAddress", ""),
    certProvider: text(global, "pilotCertProvider", "istiod"),
    clusterTrustBundle: flag(child(child(values, "pilot"), "env"), "ENABLE_CLUSTER_TRUST_BUNDLE_API", false),
    clusterName: text(child(global, "multiCluster"), "clusterName", "") || "Kubernetes",
    network: text(global, "network", ""),
    meshId: text(global, "meshID", ""),
    trustDomain: text(global, "trustDomain", ""),
    stsPort: Number(text(child(global, "sts"), "servicePort", "0")),
    tokenAudience: text(child(child(global, "sds"), "token"), "aud", "istio-ca"),
    nativeNftables: flag(global, "nativeNftables", false),
    forceApplyIptables: flag(init, "forceApplyIptables", false),
    rewriteProbes: flag(webhook, "rewriteAppHTTPProbe", true),
    cniEnabled: flag(cni, "enabled", false),
    cniProvider: text(cni, "provider", "default"),
    proxy: readProxyValues(child(global, "proxy")),
    proxyInitImage: text(init, "image", "proxy"),
  };
}

function readProxyValues(proxy: JsonRecord): ProxyValues {
  const startup = child(proxy, "startupProbe");
  const lifecycle = proxy["lifecycle"];
  return {
    image: text(proxy, "image", "proxy"),
    clusterDomain: text(proxy, "clusterDomain", "cluster.local"),
    logLevel: text(proxy, "logLevel", "warning"),
    componentLogLevel: text(proxy, "componentLogLevel", "misc:error"),
    includeIpRanges: text(proxy, "includeIPRanges", "*"),
    excludeIpRanges: text(proxy, "excludeIPRanges", ""),
    includeInboundPorts: text(proxy, "includeInboundPorts", "*"),
    excludeInboundPorts: text(proxy, "excludeInboundPorts", ""),
    includeOutboundPorts: text(proxy, "includeOutboundPorts", ""),
    excludeOutboundPorts: text(proxy, "excludeOutboundPorts", ""),
    statusPort: text(proxy, "statusPort", "15020"),
    readinessInitialDelaySeconds: text(proxy, "readinessInitialDelaySeconds", "0"),
    readinessPeriodSeconds: text(proxy, "readinessPeriodSeconds", "15"),
    readinessFailureThreshold: text(proxy, "readinessFailureThreshold", "4"),
    startupProbe: {
      enabled: flag(startup, "enabled", true),
      failureThreshold: Number(text(startup, "failureThreshold", "600")),
    },
    resources: readResources(proxy["resources"]),
    privileged: flag(proxy, "privileged", false),
    outlierLogPath: text(proxy, "outlierLogPath", ""),
    lifecycle: isRecord(lifecycle) && Object.keys(lifecycle).length > 0 ? lifecycle : undefined,
    holdApplicationUntilProxyStarts: flag(proxy, "holdApplicationUntilProxyStarts", false),
  };
}

/** Values lie over the defaults key by key; null takes a default away. */
function readResources(value: unknown): Resources {
  if (!isRecord(value)) return defaultResources;
  return {
    ...section("limits", merge(defaultResources.limits, value["limits"])),
    ...section("requests", merge(defaultResources.requests, value["requests"])),
  };
}

function section(name: "limits" | "requests", amounts: Readonly<Record<string, string | number>>): Resources {
  return Object.keys(amounts).length === 0 ? {} : { [name]: amounts };
}

function merge(
  defaults: Readonly<Record<string, string | number>> | undefined,
  value: unknown,
): Readonly<Record<string, string | number>> {
  const merged = new Map(Object.entries(defaults ?? {}));
  if (value === null) return {};
  if (isRecord(value)) {
    for (const [name, amount] of Object.entries(value)) {
      if (amount === null) merged.delete(name);
      else if (typeof amount === "string" || typeof amount === "number") merged.set(name, amount);
    }
  }
  return Object.fromEntries(merged);
}

function child(record: JsonRecord, name: string): JsonRecord {
  const value = record[name];
  return isRecord(value) ? value : {};
}

function text(record: JsonRecord, name: string, fallback: string): string {
  const value = record[name];
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : fallback;
}

function flag(record: JsonRecord, name: string, fallback: boolean): boolean {
  const value = record[name];
  return typeof value === "boolean" ? value : value === "true" ? true : value === "false" ? false : fallback;
}

function list(record: JsonRecord, name: string): readonly string[] {
  const value = record[name];
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === "string") : [];
}
