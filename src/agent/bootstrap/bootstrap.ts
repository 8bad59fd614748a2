// Everything that the proxy's process has to know before it can ask for configuration, from the environment that the
// injector wrote and the files of the pod. Pure: the caller reads both.

import type { JsonObject } from "@bufbuild/protobuf";
import { type Issue, Severity } from "#base/issue.ts";
import { formatWorkloadIdentity } from "#wire/spiffe/spiffe-id.ts";
import { istioVersion } from "#wire/xds/istio-version.ts";
import { defaultKeyKind, type KeyKind, keyKind } from "../identity/key-kind.ts";
import { defaultRenewal, type RenewalSettings } from "../identity/renewal.ts";
import type { ScrapeTarget } from "../probes/merged-metrics.ts";
import type { AppProbers } from "../probes/prober.ts";
import { type ReadinessProbe, readReadinessProbe } from "../probes/workload-health.ts";
import { parseDuration } from "./duration.ts";
import { nodeMetadata } from "./node-metadata.ts";
import { parsePodInfo } from "./pod-info.ts";
import type { ProxyArguments } from "./proxy-arguments.ts";

export interface BootstrapInput {
  readonly arguments: ProxyArguments;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Text of `/etc/istio/pod/labels` and `/etc/istio/pod/annotations`; empty where there is none. */
  readonly podLabels: string;
  readonly podAnnotations: string;
  /** Processors of this machine. */
  readonly cpuCount: number;
}

interface XdsNode {
  readonly id: string;
  readonly cluster: string;
  readonly locality: { readonly region: string; readonly zone: string; readonly subZone: string };
  readonly metadata: JsonObject;
}

export interface ProxyBootstrap {
  readonly role: "sidecar" | "router";
  readonly node: XdsNode;
  /** `host:port` */
  readonly discoveryAddress: string;
  readonly caAddress: string;
  readonly trustDomain: string;
  readonly spiffeId: string;
  readonly clusterId: string;
  /** Signer of the Kubernetes CSR API; empty for the control plane's choice. */
  readonly certSigner: string;
  readonly rootsPath: string;
  /** Revocation lists of the mesh's CA; empty where they are not heeded. */
  readonly revocationsPath: string;
  readonly tokenPath: string;
  /** Further trusted roots, PEM. */
  readonly extraRoots: readonly string[];
  readonly secretTtlMs: number;
  readonly keyKind: KeyKind;
  readonly renewal: RenewalSettings;
  /** Where secrets are served on a Unix socket, by us or by another identity provider. */
  readonly sdsSocket: string;
  /** Another provider must be there. */
  readonly needsExternalSds: boolean;
  /** Folder into which the certificate and its key are written; empty for none. */
  readonly outputCerts: string;
  readonly podIp: string;
  readonly namespace: string;
  /** `default.svc.cluster.local` */
  readonly domain: string;
  /** The application's DNS is captured: a DNS proxy answers it. */
  readonly dnsCapture: boolean;
  readonly adminPort: number;
  /** The agent's status server; 0 switches it off. */
  readonly statusPort: number;
  readonly readinessPort: number;
  readonly prometheusPort: number;
  /** Event loops, at least 1. */
  readonly concurrency: number;
  readonly drainDurationMs: number;
  readonly terminationDrainMs: number;
  readonly minimumDrainMs: number;
  readonly exitOnZeroActiveConnections: boolean;
  readonly proxyLogLevel: string;
  readonly componentLogLevels: string;
  readonly agentLogLevels: string;
  readonly logAsJson: boolean;
  readonly appProbers: AppProbers;
  /** Where the application answers probes: the pod's address, or localhost for old applications. */
  readonly probeHost: string;
  /** Of a workload outside of the cluster; undefined: nobody asks for its health. */
  readonly readinessProbe: ReadinessProbe | undefined;
  /** The application's own metrics; empty when it has none to merge. */
  readonly scrapeTargets: readonly ScrapeTarget[];
  readonly proxyConfig: JsonObject;
}

/** The Istio release whose behaviour we follow; control planes look at it. */

const defaultSdsFile = "socket";
const readinessPort = 15021;
const prometheusPort = 15090;

export function buildBootstrap(
  input: BootstrapInput,
): { readonly bootstrap: ProxyBootstrap } | { readonly issues: readonly Issue[] } {
  const { env } = input;
  const reader = new EnvironmentReader(env);
  const podName = reader.required("POD_NAME");
  const namespace = reader.required("POD_NAMESPACE");
  const instanceIps = reader
    .required("INSTANCE_IP")
    .split(",")
    .filter((address) => address !== "");
  const podIp = instanceIps[0] ?? "";
  const serviceAccount = env["SERVICE_ACCOUNT"] || "default";
  const trustDomain = env["TRUST_DOMAIN"] || "cluster.local";
  const proxyConfig = reader.json("PROXY_CONFIG");
  const labels = parsePodInfo(input.podLabels);
  const annotations = parsePodInfo(input.podAnnotations);
  const discoveryAddress = text(proxyConfig["discoveryAddress"]) || "istiod.istio-system.svc:15012";
  const domain = input.arguments.domain || `${namespace}.svc.cluster.local`;
  const metadata = nodeMetadata({
    env,
    podName,
    namespace,
    serviceAccount,
    instanceIps,
    labels,
    annotations,
    proxyConfig,
    discoveryHost: discoveryAddress.replace(/:\d+$/, ""),
    version: istioVersion,
    prometheusPort,
    readinessPort,
  });
  const sdsFile = env["WORKLOAD_IDENTITY_SOCKET_FILE"] || defaultSdsFile;
  const bootstrap: ProxyBootstrap = {
    role: input.arguments.role,
    node: {
      id: `${input.arguments.role}~${podIp}~${podName}.${namespace}~${domain}`,
      cluster: serviceCluster(proxyConfig, labels, env, namespace),
      locality: locality(labels),
      metadata,
    },
    discoveryAddress,
    caAddress: env["CA_ADDR"] || discoveryAddress,
    trustDomain,
    spiffeId: formatWorkloadIdentity({ trustDomain, namespace, serviceAccount }),
    clusterId: env["ISTIO_META_CLUSTER_ID"] || "Kubernetes",
    certSigner: env["ISTIO_META_CERT_SIGNER"] ?? "",
    rootsPath: env["CA_ROOT_CA"] || "/var/run/secrets/istio/root-cert.pem",
    revocationsPath: env["PILOT_ENABLE_CA_CRL"] === "false" ? "" : "/var/run/secrets/istio/crl/ca-crl.pem",
    tokenPath: "/var/run/secrets/tokens/istio-token",
    extraRoots: strings(proxyConfig["caCertificatesPem"]),
    secretTtlMs: reader.duration("SECRET_TTL", 24 * 3_600_000),
    keyKind: reader.keyKind(),
    renewal: {
      graceRatio: reader.ratio("SECRET_GRACE_PERIOD_RATIO", defaultRenewal.graceRatio),
      jitterRatio: reader.ratio("SECRET_GRACE_PERIOD_RATIO_JITTER", defaultRenewal.jitterRatio),
    },
    sdsSocket: `/var/run/secrets/workload-spiffe-uds/${sdsFile}`,
    needsExternalSds: sdsFile !== defaultSdsFile || env["USE_EXTERNAL_WORKLOAD_SDS"] === "true",
    outputCerts: env["OUTPUT_CERTS"] ?? "",
    podIp,
    namespace,
    domain,
    dnsCapture: input.arguments.role === "sidecar" && env["ISTIO_META_DNS_CAPTURE"] === "true",
    adminPort: port(proxyConfig["proxyAdminPort"], 15000),
    statusPort: statusPort(annotations, proxyConfig),
    readinessPort,
    prometheusPort,
    concurrency: concurrency(input, proxyConfig),
    drainDurationMs: configDuration(proxyConfig["drainDuration"], 45_000),
    terminationDrainMs: configDuration(proxyConfig["terminationDrainDuration"], 5_000),
    minimumDrainMs: reader.duration("MINIMUM_DRAIN_DURATION", 5_000),
    exitOnZeroActiveConnections: env["EXIT_ON_ZERO_ACTIVE_CONNECTIONS"] === "true",
    proxyLogLevel: input.arguments.proxyLogLevel,
    componentLogLevels: input.arguments.componentLogLevels,
    agentLogLevels: input.arguments.agentLogLevels,
    logAsJson: input.arguments.logAsJson,
    appProbers: reader.json("ISTIO_KUBE_APP_PROBERS") as AppProbers,
    probeHost: env["REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION"] === "true" ? "localhost" : podIp,
    readinessProbe: reader.readinessProbe(proxyConfig["readinessProbe"]),
    scrapeTargets: scrapeTargets(reader.json("ISTIO_PROMETHEUS_ANNOTATIONS")),
    proxyConfig,
  };
  return reader.issues.length > 0 ? { issues: reader.issues } : { bootstrap };
}

class EnvironmentReader {
  readonly issues: Issue[] = [];
  readonly #env: BootstrapInput["env"];

  constructor(env: BootstrapInput["env"]) {
    this.#env = env;
  }

  required(name: string): string {
    const value = this.#env[name] ?? "";
    if (value === "") this.#report(name, "is not set");
    return value;
  }

  json(name: string): JsonObject {
    const value = this.#env[name];
    if (value === undefined || value.trim() === "") return {};
    try {
      const parsed: unknown = JSON.parse(value);
      if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) return parsed as JsonObject;
      this.#report(name, "is not a JSON object");
    } catch {
      this.#report(name, "is not JSON");
    }
    return {};
  }

  duration(name: string, fallback: number): number {
    const value = this.#env[name];
    if (value === undefined || value === "") return fallback;
    const duration = parseDuration(value);
    if (duration === undefined) this.#report(name, `"${value}" is not a duration as 24h or 10s`);
    return duration ?? fallback;
  }

  ratio(name: string, fallback: number): number {
    const value = this.#env[name];
    if (value === undefined || value === "") return fallback;
    const ratio = Number(value);
    if (ratio >= 0 && ratio <= 1) return ratio;
    this.#report(name, `"${value}" is not a number from 0 to 1`);
    return fallback;
  }

  keyKind(): KeyKind {
    const kind = keyKind(this.#env);
    if (typeof kind !== "string") return kind;
    this.issues.push({ code: "OUT0303", severity: Severity.Error, message: `environment variable ${kind}` });
    return defaultKeyKind;
  }

  readinessProbe(value: unknown): ReadinessProbe | undefined {
    const asked = readReadinessProbe(value);
    if (typeof asked !== "string") return asked;
    this.#report("PROXY_CONFIG", `readinessProbe ${asked}`);
    return undefined;
  }

  #report(name: string, problem: string): void {
    this.issues.push({ code: "OUT0303", severity: Severity.Error, message: `environment variable ${name} ${problem}` });
  }
}

/** The name under which traces and Envoy's own statistics know the workload. */
function serviceCluster(
  proxyConfig: JsonObject,
  labels: Readonly<Record<string, string>>,
  env: BootstrapInput["env"],
  namespace: string,
): string {
  const canonical = labels["service.istio.io/canonical-name"] ?? env["ISTIO_META_WORKLOAD_NAME"] ?? "istio-proxy";
  switch (text(proxyConfig["tracingServiceName"])) {
    case "CANONICAL_NAME_ONLY":
      return canonical;
    case "CANONICAL_NAME_AND_NAMESPACE":
      return `${canonical}.${namespace}`;
    default:
      return `${labels["app"] ?? env["ISTIO_META_WORKLOAD_NAME"] ?? "istio-proxy"}.${namespace}`;
  }
}

/** From label `topology.istio.io/locality` or `istio-locality`, with dots or slashes; otherwise the control plane finds it by the node. */
function locality(labels: Readonly<Record<string, string>>): XdsNode["locality"] {
  const value = labels["topology.istio.io/locality"] ?? labels["istio-locality"] ?? "";
  const [region = "", zone = "", subZone = ""] = value.split(value.includes("/") ? "/" : ".");
  return { region, zone, subZone };
}

/** ProxyConfig decides; else the container's CPU limit; 0 means all processors. */
function concurrency(input: BootstrapInput, proxyConfig: JsonObject): number {
  const configured = proxyConfig["concurrency"];
  const wanted = input.arguments.concurrency ?? (typeof configured === "number" ? configured : undefined);
  if (wanted === 0) return Math.max(1, input.cpuCount);
  const limit = Number(input.env["ISTIO_CPU_LIMIT"]);
  const chosen = wanted ?? (Number.isFinite(limit) && limit > 0 ? Math.ceil(limit) : input.cpuCount);
  return Math.max(1, Math.min(chosen, input.cpuCount));
}

function statusPort(annotations: Readonly<Record<string, string>>, proxyConfig: JsonObject): number {
  const annotation = annotations["status.sidecar.istio.io/port"];
  return annotation !== undefined && /^\d+$/.test(annotation)
    ? Number(annotation)
    : port(proxyConfig["statusPort"], 15020);
}

function scrapeTargets(configuration: JsonObject): ScrapeTarget[] {
  if (configuration["scrape"] !== "true") return [];
  const targets = Array.isArray(configuration["targets"]) ? configuration["targets"] : [configuration];
  return targets.flatMap((target) => {
    if (typeof target !== "object" || target === null || Array.isArray(target)) return [];
    return [{ port: Number(text(target["port"]) || "80"), path: text(target["path"]) || "/metrics" }];
  });
}

function configDuration(value: unknown, fallback: number): number {
  return (typeof value === "string" ? parseDuration(value) : undefined) ?? fallback;
}

function port(value: unknown, fallback: number): number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 65535 ? value : fallback;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function strings(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === "string") : [];
}
