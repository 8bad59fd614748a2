// Metadata of the xDS node under Istio's keys: what ISTIO_META_* variables say, and what the agent knows itself.
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";

export interface NodeFacts {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly podName: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly instanceIps: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly proxyConfig: JsonObject;
  readonly discoveryHost: string;
  readonly version: string;
  readonly prometheusPort: number;
  readonly readinessPort: number;
}

const prefix = "ISTIO_META_";
const jsonPrefix = "ISTIO_METAJSON_";

/** Large texts that no control plane reads. */
const droppedAnnotations: ReadonlySet<string> = new Set([
  "kubectl.kubernetes.io/last-applied-configuration",
  "outrigger.dev/source",
  "sidecar.istio.io/status",
  "proxy.istio.io/overrides",
]);

export function nodeMetadata(facts: NodeFacts): JsonObject {
  const metadata: JsonObject = {};
  for (const [name, value] of Object.entries(facts.env)) {
    if (value === undefined) continue;
    if (name.startsWith(jsonPrefix)) Object.assign(metadata, namedJson(name.slice(jsonPrefix.length), value));
    else if (name.startsWith(prefix)) metadata[name.slice(prefix.length)] = value;
  }
  const inherited = metadata["LABELS"];
  return {
    ...metadata,
    NAME: facts.podName,
    NAMESPACE: facts.namespace,
    SERVICE_ACCOUNT: facts.serviceAccount,
    INSTANCE_IPS: facts.instanceIps.join(","),
    LABELS: { ...(isObject(inherited) ? inherited : {}), ...facts.labels },
    ANNOTATIONS: Object.fromEntries(
      Object.entries(facts.annotations).filter(([name]) => !droppedAnnotations.has(name)),
    ),
    CLUSTER_ID: text(metadata["CLUSTER_ID"]) || "Kubernetes",
    ISTIO_VERSION: text(metadata["ISTIO_VERSION"]) || facts.version,
    PROXY_CONFIG: facts.proxyConfig,
    PILOT_SAN: [facts.discoveryHost],
    ENVOY_PROMETHEUS_PORT: facts.prometheusPort,
    ENVOY_STATUS_PORT: facts.readinessPort,
  };
}

function namedJson(name: string, value: string): JsonObject {
  try {
    return { [name]: JSON.parse(value) as JsonValue };
  } catch {
    return {};
  }
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value: JsonValue | undefined): string {
  return typeof value === "string" ? value : "";
}
