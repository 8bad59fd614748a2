// Rules for Sidecars that the types of their fields cannot say (reference 1.15).
import { OutboundMode } from "../../objects/fields/outbound-traffic-policy.ts";
import { validatePortNumber, validateProtocol } from "../../objects/fields/port.ts";
import { validateSelector } from "../../objects/fields/selector.ts";
import { ServerTlsMode } from "../../objects/fields/server-tls.ts";
import {
  validateCertificateHashes,
  validateCipherSuites,
  validateKeyHashes,
} from "../../objects/fields/tls-parameters.ts";
import { validateConnectionPool } from "../../objects/fields/traffic-policy-validate.ts";
import type { Report } from "../../objects/report.ts";
import { isIpAddress, isNamespaceName, validateHost, warn } from "../../objects/validate-names.ts";
import { CaptureMode, type EgressListenerSpec, type IngressListenerSpec, type SidecarSpec } from "./spec.ts";

export function validateSidecar(spec: SidecarSpec, report: Report): void {
  const { workloadSelector, ingress, egress, outboundTrafficPolicy, inboundConnectionPool } = spec;
  if (
    workloadSelector === undefined &&
    ingress.length === 0 &&
    egress.length === 0 &&
    outboundTrafficPolicy === undefined &&
    inboundConnectionPool === undefined
  ) {
    report({ path: "spec", message: "the Sidecar says nothing" });
  }
  if (workloadSelector !== undefined) {
    validateSelector(workloadSelector.labels, "spec.workloadSelector.labels", report);
    if (Object.keys(workloadSelector.labels).length === 0) {
      report(warn("spec.workloadSelector", "a workloadSelector without labels is for the whole namespace"));
    }
  }
  validateIngress(ingress, report);
  validateEgress(egress, report);
  if (inboundConnectionPool !== undefined) {
    validateConnectionPool(inboundConnectionPool, "spec.inboundConnectionPool", report);
  }
  if (outboundTrafficPolicy?.mode === OutboundMode.AllowAnyDynamicDns) {
    report({ path: "spec.outboundTrafficPolicy.mode", message: "ALLOW_ANY_DYNAMIC_DNS is for the mesh only" });
  }
  if (outboundTrafficPolicy?.egressProxy !== undefined && outboundTrafficPolicy.mode !== OutboundMode.AllowAny) {
    report({ path: "spec.outboundTrafficPolicy.egressProxy", message: "egressProxy needs mode ALLOW_ANY" });
  }
}

function validateIngress(ingress: readonly IngressListenerSpec[], report: Report): void {
  const places = new Set<string>();
  for (const [index, listener] of ingress.entries()) {
    const path = `spec.ingress[${index}]`;
    validatePortNumber(listener.port.number, `${path}.port.number`, report);
    validateProtocol(listener.port.protocol, `${path}.port.protocol`, report);
    if (listener.bind !== "" && !isIpAddress(listener.bind)) {
      report({ path: `${path}.bind`, message: `"${listener.bind}" is not an IP address` });
    }
    const place = `${listener.bind} ${listener.port.number}`;
    if (places.has(place)) report({ path: `${path}.port`, message: `port ${listener.port.number} stands twice` });
    places.add(place);
    validateDefaultEndpoint(listener.defaultEndpoint, `${path}.defaultEndpoint`, report);
    if (listener.connectionPool !== undefined) {
      validateConnectionPool(listener.connectionPool, `${path}.connectionPool`, report);
    }
    validateIngressTls(listener, path, report);
  }
}

function validateIngressTls({ tls }: IngressListenerSpec, path: string, report: Report): void {
  if (tls === undefined) return;
  validateCipherSuites(tls.cipherSuites, `${path}.tls.cipherSuites`, report);
  validateCertificateHashes(tls.verifyCertificateHash, `${path}.tls.verifyCertificateHash`, report);
  validateKeyHashes(tls.verifyCertificateSpki, `${path}.tls.verifyCertificateSpki`, report);
  if (tls.mode !== ServerTlsMode.Simple && tls.mode !== ServerTlsMode.Mutual) {
    report({ path: `${path}.tls.mode`, message: "only SIMPLE and MUTUAL are possible here" });
  }
  const foreign =
    tls.httpsRedirect ||
    tls.subjectAltNames.length > 0 ||
    tls.credentialName !== "" ||
    tls.credentialNames.length > 0 ||
    tls.tlsCertificates.length > 0;
  if (foreign) report({ path: `${path}.tls`, message: "only certificate files can be set here" });
}

function validateDefaultEndpoint(endpoint: string, path: string, report: Report): void {
  if (endpoint === "" || endpoint.startsWith("unix:///")) return;
  const match = /^(127\.0\.0\.1|0\.0\.0\.0|\[::1\]|\[::\]):(\d{1,5})$/.exec(endpoint);
  if (match === null) {
    report({ path, message: `"${endpoint}" is not an endpoint`, fix: "127.0.0.1:PORT, 0.0.0.0:PORT or unix:///path" });
  } else validatePortNumber(Number(match[2]), path, report);
}

function validateEgress(egress: readonly EgressListenerSpec[], report: Report): void {
  const places = new Set<string>();
  for (const [index, listener] of egress.entries()) {
    const path = `spec.egress[${index}]`;
    const isSocket = listener.bind.startsWith("unix://");
    const number = listener.port?.number ?? 0;
    if (listener.port === undefined) {
      if (index !== egress.length - 1) {
        report({ path, message: "a listener without a port must be the last one" });
      }
      if (listener.bind !== "" && !isSocket) report({ path: `${path}.bind`, message: "bind needs a port" });
    } else if (number === 0 && !isSocket) {
      report({ path: `${path}.port.number`, message: "port 0 is for Unix sockets" });
    } else if (number !== 0) validatePortNumber(number, `${path}.port.number`, report);
    if (isSocket && listener.captureMode === CaptureMode.Iptables) {
      report({ path: `${path}.captureMode`, message: "a Unix socket cannot be captured by iptables" });
    }
    const place = `${listener.bind} ${number}`;
    if (places.has(place)) report({ path, message: "another listener has the same bind and port" });
    places.add(place);
    validateEgressHosts(listener.hosts, path, report);
  }
}

function validateEgressHosts(hosts: readonly string[], path: string, report: Report): void {
  if (hosts.length === 0)
    report({ path: `${path}.hosts`, message: "at least one host is needed", fix: 'hosts: ["*/*"]' });
  const seen = new Set<string>();
  for (const [index, entry] of hosts.entries()) {
    const at = `${path}.hosts[${index}]`;
    if (seen.has(entry)) report(warn(at, `${entry} stands twice`));
    seen.add(entry);
    const slash = entry.indexOf("/");
    if (slash === -1 || entry.indexOf("/", slash + 1) !== -1) {
      report({ path: at, message: `"${entry}" is not namespace/host`, fix: `"./${entry}" or "*/${entry}"` });
      continue;
    }
    const namespace = entry.slice(0, slash).replace(/^~/, "");
    if (namespace !== "" && namespace !== "*" && namespace !== "." && !isNamespaceName(namespace)) {
      report({ path: at, message: `"${namespace}" is not a namespace` });
    } else if (namespace === "" && !entry.startsWith("~")) report({ path: at, message: "the namespace is empty" });
    validateHost(entry.slice(slash + 1), at, report);
  }
  if (seen.has("*/*") && [...seen].some((entry) => entry !== "*/*" && !entry.startsWith("~"))) {
    report(warn(`${path}.hosts`, "*/* covers the other hosts"));
  }
}
