// The ProxyConfig of one pod: built-in defaults, then the mesh's defaultConfig, then annotation
// `proxy.istio.io/config`, with ProxyConfigs (the kind) in between and on top. Fields merge one by one; proxyMetadata and
// runtimeValues merge key by key.
import { parse } from "yaml";
import { describeError } from "#base/error.ts";
import type { Issue } from "#base/issue.ts";
import { annotationIssue, annotationName } from "./annotations.ts";
import { isRecord, type JsonRecord } from "./pod.ts";

/** In the order in which they are written. */
const fields: readonly string[] = [
  "configPath",
  "binaryPath",
  "serviceCluster",
  "tracingServiceName",
  "drainDuration",
  "discoveryAddress",
  "statsdUdpAddress",
  "proxyAdminPort",
  "controlPlaneAuthPolicy",
  "customConfigFile",
  "statNameLength",
  "concurrency",
  "proxyBootstrapTemplatePath",
  "interceptionMode",
  "tracing",
  "envoyAccessLogService",
  "envoyMetricsService",
  "proxyMetadata",
  "runtimeValues",
  "statusPort",
  "extraStatTags",
  "gatewayTopology",
  "terminationDrainDuration",
  "meshId",
  "readinessProbe",
  "proxyStatsMatcher",
  "holdApplicationUntilProxyStarts",
  "caCertificatesPem",
  "image",
  "privateKeyProvider",
  "proxyHeaders",
  "fileFlushInterval",
  "fileFlushMinSizeKb",
  "statsCompression",
];

const merged: ReadonlySet<string> = new Set(["proxyMetadata", "runtimeValues", "proxyHeaders"]);

export interface ProxyConfig {
  /** All fields, defaults included. */
  readonly fields: JsonRecord;
  readonly interceptionMode: string;
  readonly statusPort: number;
  readonly holdApplication: boolean;
  readonly imageType: string;
  /** Sorted by name. */
  readonly metadata: readonly (readonly [string, string])[];
}

export function defaultProxyConfig(istioNamespace: string, revision: string): JsonRecord {
  return {
    configPath: "./etc/istio/proxy",
    binaryPath: "/usr/local/bin/envoy",
    serviceCluster: "istio-proxy",
    drainDuration: "45s",
    terminationDrainDuration: "5s",
    discoveryAddress: `${istiodName(revision)}.${istioNamespace}.svc:15012`,
    proxyAdminPort: 15000,
    controlPlaneAuthPolicy: "MUTUAL_TLS",
    statNameLength: 189,
    statusPort: 15020,
    interceptionMode: "REDIRECT",
  };
}

export function istiodName(revision: string): string {
  return revision === "" || revision === "default" ? "istiod" : `istiod-${revision}`;
}

/** Lays configurations over each other, later ones on top. */
export function mergeProxyConfig(layers: readonly JsonRecord[]): ProxyConfig {
  const result: Record<string, unknown> = {};
  for (const layer of layers) {
    for (const [field, value] of Object.entries(layer)) {
      const below = result[field];
      if (value === undefined || value === null) continue;
      result[field] = merged.has(field) && isRecord(below) && isRecord(value) ? { ...below, ...value } : value;
    }
  }
  const metadata = isRecord(result["proxyMetadata"]) ? result["proxyMetadata"] : {};
  const image = isRecord(result["image"]) ? result["image"] : {};
  return {
    fields: result,
    interceptionMode: String(result["interceptionMode"] ?? "REDIRECT"),
    statusPort: Number(result["statusPort"] ?? 15020),
    holdApplication: result["holdApplicationUntilProxyStarts"] === true,
    imageType: String(image["imageType"] ?? ""),
    metadata: Object.entries(metadata)
      .map(([name, value]) => [name, String(value)] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  };
}

/** What differs from the defaults, as the proxy reads it from PROXY_CONFIG. */
export function proxyConfigDifference(config: ProxyConfig, defaults: JsonRecord): string {
  const result: Record<string, unknown> = {};
  for (const field of fields) {
    const value = config.fields[field];
    if (value !== undefined && JSON.stringify(value) !== JSON.stringify(defaults[field])) result[field] = value;
  }
  return JSON.stringify(result);
}

/** Reads annotation `proxy.istio.io/config`; YAML that is no ProxyConfig is an issue. */
export function readProxyConfigAnnotation(text: string | undefined): { config: JsonRecord; issues: Issue[] } {
  if (text === undefined || text.trim() === "") return { config: {}, issues: [] };
  let value: unknown;
  try {
    value = parse(text, { version: "1.1" });
  } catch (error) {
    return { config: {}, issues: [annotationIssue(annotationName.proxyConfig, describeError(error))] };
  }
  if (!isRecord(value)) {
    return { config: {}, issues: [annotationIssue(annotationName.proxyConfig, "is not a map of fields")] };
  }
  const issues = Object.keys(value)
    .filter((field) => !fields.includes(field))
    .map((field) => annotationIssue(annotationName.proxyConfig, `there is no field "${field}"`));
  return { config: value, issues };
}
