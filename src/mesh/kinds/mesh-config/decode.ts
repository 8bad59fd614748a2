// Reads mesh configuration: YAML text of the ConfigMap `istio`, key `mesh`. Every field has a default (reference 9), so
// there is always a mesh configuration; a wrong field costs itself.
import { isMap, isNode, isScalar, isSeq, LineCounter, parseDocument } from "yaml";
import { describeError } from "#base/error.ts";
import { type Issue, type ObjectRef, Severity, type SourcePosition } from "#base/issue.ts";
import {
  boolean,
  type Decoder,
  duration,
  type Fields,
  integer,
  lenientRecord,
  list,
  oneOf,
  optional,
  string,
  stringMap,
  strings,
  text,
  uint32,
  withDefault,
} from "../../objects/decode.ts";
import { decodeGatewayTopology, noTopology } from "../../objects/fields/gateway-topology.ts";
import { decodeHttpRetry } from "../../objects/fields/http-retry.ts";
import { OutboundMode } from "../../objects/fields/outbound-traffic-policy.ts";
import { decodeTlsVersion, TlsVersion } from "../../objects/fields/server-tls.ts";
import { validateCipherSuites, validateCurves } from "../../objects/fields/tls-parameters.ts";
import { H2UpgradePolicy } from "../../objects/fields/traffic-policy.ts";
import {
  decodeClientTls,
  decodeConnectionPool,
  decodeH2UpgradePolicy,
  decodeLocalityLb,
  decodeOutlierDetection,
  decodeTcpKeepalive,
  decodeZoneAwareLb,
} from "../../objects/fields/traffic-policy-decode.ts";
import { validateClientTls, validateLocality } from "../../objects/fields/traffic-policy-validate.ts";
import { child, parsePath, renderPath } from "../../objects/path.ts";
import { type Report, reportInto } from "../../objects/report.ts";
import { nearest } from "../../objects/suggest.ts";
import { reportDefaultProviders, reportProviders, reportTracers } from "./providers.ts";
import {
  type CaCertificates,
  type DiscoverySelector,
  type MeshConfig,
  type ProxyConfig,
  type ServiceEntryVisibility,
  Visibility,
} from "./spec.ts";
import {
  checkAddress,
  checkConnectTimeout,
  checkDetectionTimeout,
  checkDrainDuration,
  checked,
  checkSet,
  checkTrustDomain,
  validateProxyConfig,
  validateServiceSettings,
} from "./validate.ts";
import { withoutEffect } from "./without-effect.ts";

const port = integer(0, 65_535);
const openPort = integer(1, 65_535);
const everywhere = withDefault(strings.decode, ["*"]);

/** `rest` is filled in after decoding, from the fields that no decoder has taken. */
const rest = withDefault<Readonly<Record<string, unknown>>>(() => undefined, {});

const proxyConfigFields: Fields<ProxyConfig> = {
  configPath: withDefault(checked(string, checkSet), "./etc/istio/proxy"),
  serviceCluster: withDefault(checked(string, checkSet), "istio-proxy"),
  drainDuration: withDefault(checked(duration, checkDrainDuration), 45_000),
  terminationDrainDuration: withDefault(duration, 5_000),
  discoveryAddress: withDefault(checked(string, checkAddress), "istiod.istio-system.svc:15012"),
  proxyAdminPort: withDefault(openPort, 15_000),
  statusPort: withDefault(openPort, 15_020),
  concurrency: optional(uint32),
  interceptionMode: withDefault(oneOf(["REDIRECT", "TPROXY", "NONE"]), "REDIRECT"),
  proxyMetadata: stringMap,
  holdApplicationUntilProxyStarts: withDefault(boolean, false),
  gatewayTopology: withDefault(decodeGatewayTopology, noTopology),
  rest,
};

const tlsDefaults = lenientRecord<MeshConfig["tlsDefaults"]>({ cipherSuites: strings, ecdhCurves: strings });

/** Names that nobody knows are told, and left out when they are compiled. */
const decodeTlsDefaults: Decoder<MeshConfig["tlsDefaults"]> = (value, path, report) => {
  const decoded = tlsDefaults(value, path, report);
  if (decoded === undefined) return undefined;
  validateCipherSuites(decoded.cipherSuites, renderPath(child(path, "cipherSuites")), report);
  validateCurves(decoded.ecdhCurves, renderPath(child(path, "ecdhCurves")), report);
  return decoded;
};

const decodeProxyConfig = lenientRecord<ProxyConfig>(proxyConfigFields);

const defaultProxyConfig = decodeProxyConfig({}, undefined, () => {}) as ProxyConfig;

const caCertificates = lenientRecord<CaCertificates & { spiffeBundleUrl: string; trustDomains: readonly string[] }>({
  pem: text,
  certSigners: strings,
  spiffeBundleUrl: text,
  trustDomains: strings,
});

/** Roots count for every trust domain; those that stand elsewhere are told, and left out. */
const decodeCaCertificates: Decoder<CaCertificates> = (value, path, report) => {
  const decoded = caCertificates(value, path, report);
  if (decoded === undefined) return undefined;
  const { pem, certSigners, spiffeBundleUrl } = decoded;
  const at = renderPath(child(path, "pem"));
  if (spiffeBundleUrl !== "") {
    report({
      path: renderPath(child(path, "spiffeBundleUrl")),
      message: "bundles are not fetched: give the roots as pem",
    });
  } else if (!pem.includes("-----BEGIN CERTIFICATE-----")) {
    report({ path: at, message: "is no certificate in PEM" });
  }
  return { pem, certSigners };
};

const ingressModes = oneOf<MeshConfig["ingressControllerMode"]>(["UNSPECIFIED", "OFF", "DEFAULT", "STRICT"]);

/** YAML 1.1 reads OFF without quotes as false. */
const decodeIngressMode: Decoder<MeshConfig["ingressControllerMode"]> = (value, path, report) =>
  ingressModes(value === false ? "OFF" : value, path, report);

const decodeSelector = lenientRecord<DiscoverySelector>({
  matchLabels: stringMap,
  matchExpressions: list(
    lenientRecord<DiscoverySelector["matchExpressions"][number]>({ key: text, operator: text, values: strings }),
  ),
});

const outboundPolicy = lenientRecord<MeshConfig["outboundTrafficPolicy"]>({
  mode: withDefault(oneOf(Object.values(OutboundMode)), OutboundMode.AllowAny),
  tls: optional(decodeClientTls),
});

const decodeOutboundPolicy: Decoder<MeshConfig["outboundTrafficPolicy"]> = (value, path, report) => {
  const decoded = outboundPolicy(value, path, report);
  if (decoded?.tls === undefined) return decoded;
  const at = child(path, "tls");
  validateClientTls(decoded.tls, renderPath(at), report);
  if (decoded.mode !== OutboundMode.AllowAnyDynamicDns) {
    const message = `tls has an effect with mode ${OutboundMode.AllowAnyDynamicDns} only`;
    report({ path: at, severity: Severity.Warning, message });
  }
  return decoded;
};

const meshTls = lenientRecord<MeshConfig["meshMTLS"] & { readonly ecdhCurves: readonly string[] }>({
  minProtocolVersion: withDefault(decodeTlsVersion, TlsVersion.Auto),
  cipherSuites: strings,
  ecdhCurves: strings,
});

const decodeMeshTls: Decoder<MeshConfig["meshMTLS"]> = (value, path, report) => {
  const decoded = meshTls(value, path, report);
  if (decoded === undefined) return undefined;
  const { ecdhCurves, ...settings } = decoded;
  if (ecdhCurves.length > 0) {
    const message = "curves of mutual TLS cannot be chosen";
    report({ path: child(path, "ecdhCurves"), message, fix: "tlsDefaults.ecdhCurves is for other TLS" });
  }
  return settings;
};

const visibility = withDefault(oneOf(Object.values(Visibility)), Visibility.Unspecified);

const serviceEntryVisibility = lenientRecord<ServiceEntryVisibility>({
  defaultVisibility: visibility,
  applyToSidecars: withDefault(boolean, false),
  policies: list(
    lenientRecord<ServiceEntryVisibility["policies"][number]>({
      visibility,
      matchingRules: list(
        lenientRecord<ServiceEntryVisibility["policies"][number]["matchingRules"][number]>({
          namespaceSelector: optional(decodeSelector),
        }),
      ),
    }),
  ),
});

const decodeVisibility: Decoder<ServiceEntryVisibility> = (value, path, report) => {
  const decoded = serviceEntryVisibility(value, path, report);
  if (decoded !== undefined && !decoded.applyToSidecars) {
    const message =
      "without applyToSidecars it holds in Istio's ambient mode only: sidecars and gateways see everything";
    report({ path, severity: Severity.Warning, message, fix: "set applyToSidecars: true" });
  }
  return decoded;
};

const meshConfigFields: Fields<MeshConfig> = {
  proxyListenPort: withDefault(openPort, 15_001),
  proxyInboundListenPort: withDefault(port, 15_006),
  proxyHttpPort: withDefault(port, 0),
  connectTimeout: withDefault(checked(duration, checkConnectTimeout), 10_000),
  protocolDetectionTimeout: withDefault(checked(duration, checkDetectionTimeout), 0),
  tcpKeepalive: optional(decodeTcpKeepalive),
  enableTracing: withDefault(boolean, true),
  accessLogFile: text,
  accessLogFormat: text,
  accessLogEncoding: withDefault(oneOf(["TEXT", "JSON"]), "TEXT"),
  disableEnvoyListenerLog: withDefault(boolean, false),
  defaultConfig: withDefault(decodeProxyConfig, defaultProxyConfig),
  outboundTrafficPolicy: withDefault(decodeOutboundPolicy, { mode: OutboundMode.AllowAny }),
  inboundTrafficPolicy: withDefault(
    lenientRecord<MeshConfig["inboundTrafficPolicy"]>({
      mode: withDefault(oneOf(["PASSTHROUGH", "LOCALHOST"]), "PASSTHROUGH"),
    }),
    { mode: "PASSTHROUGH" },
  ),
  enableAutoMtls: withDefault(boolean, true),
  trustDomain: withDefault(checked(string, checkTrustDomain), "cluster.local"),
  trustDomainAliases: list(checked(string, checkTrustDomain)),
  caCertificates: list(decodeCaCertificates),
  defaultServiceExportTo: everywhere,
  defaultVirtualServiceExportTo: everywhere,
  defaultDestinationRuleExportTo: everywhere,
  rootNamespace: withDefault(string, "istio-system"),
  localityLbSetting: optional(checked(decodeLocalityLb, validateLocality)),
  zoneAwareLbSetting: optional(decodeZoneAwareLb),
  dnsRefreshRate: withDefault(duration, 60_000),
  h2UpgradePolicy: withDefault(decodeH2UpgradePolicy, H2UpgradePolicy.DoNotUpgrade),
  inboundClusterStatName: text,
  outboundClusterStatName: text,
  enablePrometheusMerge: withDefault(boolean, true),
  ingressClass: withDefault(string, "istio"),
  ingressControllerMode: withDefault(decodeIngressMode, "STRICT"),
  ingressSelector: withDefault(string, "ingressgateway"),
  ingressService: withDefault(string, "istio-ingressgateway"),
  pathNormalization: withDefault(
    lenientRecord<MeshConfig["pathNormalization"]>({
      normalization: withDefault(
        oneOf(["DEFAULT", "NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"]),
        "DEFAULT",
      ),
    }),
    { normalization: "DEFAULT" },
  ),
  defaultHttpRetryPolicy: optional(decodeHttpRetry),
  meshMTLS: withDefault(decodeMeshTls, { minProtocolVersion: TlsVersion.Auto, cipherSuites: [] }),
  tlsDefaults: withDefault(decodeTlsDefaults, { cipherSuites: [], ecdhCurves: [] }),
  defaultTrafficPolicy: optional(
    lenientRecord<NonNullable<MeshConfig["defaultTrafficPolicy"]>>({
      connectionPool: optional(decodeConnectionPool),
      outlierDetection: optional(decodeOutlierDetection),
    }),
  ),
  discoverySelectors: list(decodeSelector),
  serviceEntryVisibility: optional(decodeVisibility),
  meshNetworks: withDefault<MeshConfig["meshNetworks"]>((_value, path, report) => {
    report({ path, message: "networks stand in a text of their own: key meshNetworks of the ConfigMap" });
    return undefined;
  }, []),
  rest,
};

const decodeFields = lenientRecord<MeshConfig>(meshConfigFields);

/** Fields that stay in `rest`: looked at there, or about several clusters, so that they hold by themselves in one. */
const usedFromRest: ReadonlySet<string> = new Set([
  "readinessProbe",
  "defaultProviders",
  "tracing",
  "tracingServiceName",
  "proxyStatsMatcher",
  "serviceSettings",
  "serviceScopeConfigs",
]);

/** Fields of the API that are accepted without effect today. */
const acceptedOnly: ReadonlySet<string> = new Set([
  "hboneIdleTimeout",
  "enableEnvoyAccessLogService",
  "configSources",
  "certificates",
  "thriftConfig",
]);

const acceptedOnlyInProxyConfig: ReadonlySet<string> = new Set([
  "binaryPath",
  "envoyMetricsServiceAddress",
  "proxyBootstrapTemplatePath",
  "statsCompression",
  "statsEvictionInterval",
  "statsdUdpAddress",
  "controlPlaneAuthPolicy",
  "statNameLength",
  "runtimeValues",
  "caCertificatesPem",
  "image",
  "privateKeyProvider",
  "extraStatTags",
  "envoyAccessLogService",
  "envoyMetricsService",
  "meshId",
  "availabilityZone",
  "customConfigFile",
  "sds",
  "zipkinAddress",
  "proxyHeaders",
  "connectionSettings",
  "fileFlushInterval",
  "fileFlushMinSizeKb",
]);

export const defaultMeshConfig: MeshConfig = decodeFields({}, undefined, () => {}) as MeshConfig;

/** Reads decoded YAML or JSON; what cannot be read keeps its default. */
function decodeMeshConfig(value: unknown, report: Report): MeshConfig {
  if (value === undefined || value === null) return defaultMeshConfig;
  const decoded = decodeFields(value, undefined, report);
  if (decoded === undefined) return defaultMeshConfig;
  const fields = value as Record<string, unknown>;
  const proxyFields = fields["defaultConfig"];
  validateProxyConfig(proxyFields, report);
  const proxyConfig =
    typeof proxyFields === "object" && proxyFields !== null
      ? {
          ...decoded.defaultConfig,
          rest: takeRest(
            proxyFields as Record<string, unknown>,
            new Set(Object.keys(proxyConfigFields)),
            acceptedOnlyInProxyConfig,
            "defaultConfig",
            report,
          ),
        }
      : decoded.defaultConfig;
  return {
    ...decoded,
    defaultConfig: proxyConfig,
    rest: takeRest(fields, new Set(Object.keys(meshConfigFields)), acceptedOnly, undefined, report),
  };
}

function takeRest(
  fields: Readonly<Record<string, unknown>>,
  known: ReadonlySet<string>,
  accepted: ReadonlySet<string>,
  parent: string | undefined,
  report: Report,
): Record<string, unknown> {
  const left: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (known.has(name) && name !== "rest") continue;
    left[name] = value;
    if (name === "defaultProviders") reportDefaultProviders(value, fields["extensionProviders"], report);
    if (name === "tracing") reportTracers(value, report);
    if (name === "serviceSettings") validateServiceSettings(value, report);
    if (usedFromRest.has(name)) continue;
    const path = child(parent === undefined ? undefined : child(undefined, parent), name);
    if (name === "extensionProviders") {
      reportProviders(value, path, report);
      continue;
    }
    const note = parent === undefined ? withoutEffect(name, value) : undefined;
    if (note !== undefined) {
      if (note !== "") report({ path, severity: Severity.Warning, message: note });
      continue;
    }
    if (accepted.has(name)) {
      report({ path, severity: Severity.Info, code: "OUT0003", message: `${name} is accepted and not in force yet` });
      continue;
    }
    const suggestion = nearest(name, [...known, ...accepted]);
    report({
      path,
      severity: Severity.Warning,
      message: `unknown field "${name}" of mesh configuration`,
      ...(suggestion !== undefined && { fix: `did you mean "${suggestion}"?` }),
    });
  }
  return left;
}

/** Line and column of a field within the text of mesh configuration, from 1, as a place in a file. */
export type PlaceOfField = (path: string, line: number, column: number) => SourcePosition | undefined;

/** Reads the YAML text of mesh configuration; text that is not YAML is one issue and the defaults. */
export function parseMeshConfig(
  yaml: string,
  place: PlaceOfField = () => undefined,
  object: ObjectRef = { kind: "ConfigMap", namespace: "istio-system", name: "istio" },
): { readonly meshConfig: MeshConfig; readonly issues: readonly Issue[] } {
  const issues: Issue[] = [];
  const lines = new LineCounter();
  const document = parseDocument(yaml, { version: "1.1", lineCounter: lines, prettyErrors: false });
  const at = (path: string, offset: number): SourcePosition | undefined => {
    const { line, col } = lines.linePos(offset);
    return place(path, line, col);
  };
  const report = reportInto(issues, object, (path) => at(path, offsetOf(document.contents, path)));
  const refuse = (reason: string, offset: number): void => {
    const message = `mesh configuration is not valid YAML: ${reason.split("\n")[0]}`;
    reportInto(issues, object, () => at("", offset))({ path: undefined, message });
  };
  const [error] = document.errors;
  if (error !== undefined) {
    refuse(error.message, error.pos[0]);
    return { meshConfig: defaultMeshConfig, issues };
  }
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (problem) {
    refuse(describeError(problem), 0);
    return { meshConfig: defaultMeshConfig, issues };
  }
  return { meshConfig: decodeMeshConfig(value, report), issues };
}

/** Where the field, or the nearest around it that is there, begins. */
function offsetOf(root: unknown, path: string): number {
  let node = root;
  let offset = isNode(root) ? (root.range?.[0] ?? 0) : 0;
  for (const segment of parsePath(path)) {
    let next: unknown;
    let start: unknown;
    if (typeof segment === "number" && isSeq(node)) start = next = node.items[segment];
    else if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === segment);
      [start, next] = [pair?.key, pair?.value];
    }
    if (!isNode(start)) break;
    offset = start.range?.[0] ?? offset;
    node = next;
  }
  return offset;
}
