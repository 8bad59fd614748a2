// IST0107, IST0108, IST0125, IST0135: annotations in Istio's domains that nobody reads, not there, not with this value, or
// not for long.
import { type Issue, Severity } from "#base/issue.ts";
import { validateAnnotations } from "../inject/annotations.ts";
import { nearest } from "../objects/suggest.ts";
import type { AnalysisContext, WrittenObject } from "./context.ts";

/** The kinds that an annotation is for; none stands for any. */
const known: ReadonlyMap<string, readonly string[]> = new Map(
  (
    [
      [
        [],
        [
          "galley.istio.io/analyze-suppress",
          "gateway.istio.io/controller-version",
          "install.operator.istio.io/chart-owner",
          "install.operator.istio.io/owner-generation",
          "install.operator.istio.io/version",
        ],
      ],
      [["AuthorizationPolicy"], ["istio.io/dry-run"]],
      [
        ["Gateway"],
        [
          "gateway.istio.io/name-override",
          "gateway.istio.io/service-account",
          "networking.istio.io/address-type",
          "networking.istio.io/service-type",
        ],
      ],
      [["GatewayClass", "Gateway"], ["ambient.istio.io/waypoint-inbound-binding"]],
      [["Ingress"], ["kubernetes.io/ingress.class"]],
      [["Namespace"], ["topology.istio.io/controlPlaneClusters"]],
      [
        ["Pod"],
        [
          "ambient.istio.io/bypass-inbound-capture",
          "ambient.istio.io/dns-capture",
          "ambient.istio.io/redirection",
          "inject.istio.io/templates",
          "istio.io/reroute-virtual-interfaces",
          "istio.io/rev",
          "prometheus.istio.io/merge-metrics",
          "prometheus.istio.io/scrape-targets",
          "proxy.istio.io/config",
          "proxy.istio.io/overrides",
          "readiness.status.sidecar.istio.io/applicationPorts",
          "readiness.status.sidecar.istio.io/failureThreshold",
          "readiness.status.sidecar.istio.io/initialDelaySeconds",
          "readiness.status.sidecar.istio.io/periodSeconds",
          "security.istio.io/autoMTLS",
          "sidecar.istio.io/agentLogLevel",
          "sidecar.istio.io/bootstrapOverride",
          "sidecar.istio.io/capNetBindService",
          "sidecar.istio.io/componentLogLevel",
          "sidecar.istio.io/controlPlaneAuthPolicy",
          "sidecar.istio.io/discoveryAddress",
          "sidecar.istio.io/enableCoreDump",
          "sidecar.istio.io/extraStatTags",
          "sidecar.istio.io/inject",
          "sidecar.istio.io/interceptionMode",
          "sidecar.istio.io/logLevel",
          "sidecar.istio.io/nativeSidecar",
          "sidecar.istio.io/proxyCPU",
          "sidecar.istio.io/proxyCPULimit",
          "sidecar.istio.io/proxyImage",
          "sidecar.istio.io/proxyImageType",
          "sidecar.istio.io/proxyMemory",
          "sidecar.istio.io/proxyMemoryLimit",
          "sidecar.istio.io/rewriteAppHTTPProbers",
          "sidecar.istio.io/statsCompression",
          "sidecar.istio.io/statsEvictionInterval",
          "sidecar.istio.io/statsFlushInterval",
          "sidecar.istio.io/statsHistogramBins",
          "sidecar.istio.io/statsHistogramBuckets",
          "sidecar.istio.io/statsInclusionPrefixes",
          "sidecar.istio.io/statsInclusionRegexps",
          "sidecar.istio.io/statsInclusionSuffixes",
          "sidecar.istio.io/status",
          "sidecar.istio.io/userVolume",
          "sidecar.istio.io/userVolumeMount",
          "status.sidecar.istio.io/port",
          "traffic.sidecar.istio.io/excludeInboundPorts",
          "traffic.sidecar.istio.io/excludeInterfaces",
          "traffic.sidecar.istio.io/excludeOutboundIPRanges",
          "traffic.sidecar.istio.io/excludeOutboundPorts",
          "traffic.sidecar.istio.io/includeInboundPorts",
          "traffic.sidecar.istio.io/includeOutboundIPRanges",
          "traffic.sidecar.istio.io/includeOutboundPorts",
          "traffic.sidecar.istio.io/kubevirtInterfaces",
        ],
      ],
      [["Secret"], ["istio.io/for-service-account"]],
      [
        ["Service"],
        [
          "alpha.istio.io/canonical-serviceaccounts",
          "alpha.istio.io/kubernetes-serviceaccounts",
          "networking.istio.io/exportTo",
          "traffic.istio.io/nodeSelector",
        ],
      ],
      [["Service", "ServiceEntry", "Namespace"], ["networking.istio.io/traffic-distribution"]],
      [
        ["WorkloadEntry"],
        [
          "istio.io/autoRegistrationGroup",
          "istio.io/connectedAt",
          "istio.io/disconnectedAt",
          "istio.io/workloadController",
        ],
      ],
    ] as const
  ).flatMap(([kinds, names]) => names.map((name) => [name, kinds] as const)),
);

/** Deprecated ones, with what to use instead. */
const deprecated: ReadonlyMap<string, string> = new Map([
  ["alpha.istio.io/canonical-serviceaccounts", "nothing: it has no effect"],
  ["alpha.istio.io/kubernetes-serviceaccounts", "nothing: it has no effect"],
  ["sidecar.istio.io/discoveryAddress", "proxy.istio.io/config with discoveryAddress"],
  ["sidecar.istio.io/extraStatTags", "a Telemetry with tagOverrides"],
  ["sidecar.istio.io/inject", "the label sidecar.istio.io/inject"],
  ["sidecar.istio.io/statsInclusionPrefixes", "proxy.istio.io/config with proxyStatsMatcher"],
  ["sidecar.istio.io/statsInclusionRegexps", "proxy.istio.io/config with proxyStatsMatcher"],
  ["sidecar.istio.io/statsInclusionSuffixes", "proxy.istio.io/config with proxyStatsMatcher"],
]);

const checkedKinds = [
  "Namespace",
  "Service",
  "Pod",
  "Deployment",
  "ServiceEntry",
  "VirtualService",
  "AuthorizationPolicy",
];

export function checkAnnotations({ written }: AnalysisContext): Issue[] {
  return checkedKinds.flatMap((kind) =>
    written
      .ofKind(kind)
      .flatMap((object) => Object.keys(object.annotations).flatMap((name) => annotationIssues(object, name))),
  );
}

function annotationIssues(object: WrittenObject, name: string): Issue[] {
  const domain = name.split("/")[0] ?? "";
  const isOurs = domain === "istio.io" || domain.endsWith(".istio.io") || name === "kubernetes.io/ingress.class";
  if (!isOurs || domain === "internal.istio.io") return [];
  const report = (code: string, severity: Severity, message: string, fix?: string): Issue =>
    object.issue({
      code,
      severity,
      path: `metadata.annotations["${name}"]`,
      message,
      ...(fix !== undefined && { fix }),
    });
  const kinds = known.get(name);
  if (kinds === undefined) {
    const near = nearest(name, known.keys());
    const fix = near === undefined ? undefined : `did you mean "${near}"?`;
    return [report("IST0108", Severity.Warning, `unknown annotation ${name}`, fix)];
  }
  const found: Issue[] = [];
  const instead = deprecated.get(name);
  if (instead !== undefined && object.labels[name] === undefined) {
    found.push(report("IST0135", Severity.Info, `the annotation ${name} is deprecated`, `use ${instead}`));
  }
  if (kinds.length > 0 && !kinds.includes(object.kind)) {
    const where = object.kind === "Deployment" && kinds.includes("Pod") ? "spec.template.metadata" : kinds.join(" or ");
    const message = `the annotation ${name} has no effect on a ${object.kind}: it is for ${kinds.join(", ")}`;
    found.push(report("IST0107", Severity.Warning, message, `move it to ${where}`));
    return found;
  }
  if (object.kind !== "Pod") return found;
  const value = object.annotations[name] ?? "";
  return [
    ...found,
    ...validateAnnotations({ [name]: value }).map(({ message }) => report("IST0125", Severity.Warning, message)),
  ];
}
