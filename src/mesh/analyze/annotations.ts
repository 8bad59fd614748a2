// IST0108: annotations in Istio's domains that nobody reads, mostly slips of the pen.
import { type Issue, Severity } from "#base/issue.ts";
import { toIssue } from "../objects/report.ts";
import { nearest } from "../objects/suggest.ts";
import type { ObjectTable } from "../snapshot/object-table.ts";

const known: ReadonlySet<string> = new Set([
  "ambient.istio.io/bypass-inbound-capture",
  "ambient.istio.io/dns-capture",
  "ambient.istio.io/redirection",
  "galley.istio.io/analyze-suppress",
  "inject.istio.io/templates",
  "install.operator.istio.io/chart-owner",
  "install.operator.istio.io/owner-generation",
  "install.operator.istio.io/version",
  "istio.io/autoRegistrationGroup",
  "istio.io/connectedAt",
  "istio.io/disconnectedAt",
  "istio.io/dry-run",
  "istio.io/for-service-account",
  "istio.io/reroute-virtual-interfaces",
  "istio.io/rev",
  "istio.io/workloadController",
  "networking.istio.io/exportTo",
  "networking.istio.io/service-type",
  "networking.istio.io/address-type",
  "networking.istio.io/traffic-distribution",
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
  "topology.istio.io/controlPlaneClusters",
  "traffic.istio.io/nodeSelector",
  "traffic.sidecar.istio.io/excludeInboundPorts",
  "traffic.sidecar.istio.io/excludeInterfaces",
  "traffic.sidecar.istio.io/excludeOutboundIPRanges",
  "traffic.sidecar.istio.io/excludeOutboundPorts",
  "traffic.sidecar.istio.io/includeInboundPorts",
  "traffic.sidecar.istio.io/includeOutboundIPRanges",
  "traffic.sidecar.istio.io/includeOutboundPorts",
  "traffic.sidecar.istio.io/kubevirtInterfaces",
]);

const checkedKinds = ["Namespace", "Service", "Pod", "ServiceEntry", "VirtualService", "AuthorizationPolicy"] as const;

export function checkAnnotations(objects: ObjectTable): Issue[] {
  return checkedKinds.flatMap((kind) =>
    objects.ofKind(kind).flatMap((object) =>
      Object.keys(object.metadata.annotations ?? {}).flatMap((name) => {
        const domain = name.split("/")[0] ?? "";
        const isOurs = domain === "istio.io" || domain.endsWith(".istio.io");
        if (!isOurs || known.has(name) || domain === "internal.istio.io") return [];
        const near = nearest(name, known);
        const problem = {
          code: "IST0108",
          severity: Severity.Warning,
          path: `metadata.annotations["${name}"]`,
          message: `unknown annotation ${name}`,
          ...(near !== undefined && { fix: `did you mean "${near}"?` }),
        };
        return [toIssue(problem, object.origin, (path) => object.position(path))];
      }),
    ),
  );
}
