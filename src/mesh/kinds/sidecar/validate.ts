// Rules for Sidecars that the types of their fields cannot say (reference 1.15).
import { OutboundMode } from "../../objects/fields/outbound-traffic-policy.ts";
import {
  isHttpProtocol,
  type Port,
  Protocol,
  parseProtocol,
  validatePortName,
  validatePortNumber,
  validateProtocol,
} from "../../objects/fields/port.ts";
import { validateSelector } from "../../objects/fields/selector.ts";
import { ServerTlsMode } from "../../objects/fields/server-tls.ts";
import {
  validateCertificateHashes,
  validateCipherSuites,
  validateKeyHashes,
} from "../../objects/fields/tls-parameters.ts";
import { validateConnectionPool } from "../../objects/fields/traffic-policy-validate.ts";
import { validateUnixPath } from "../../objects/fields/workload-validate.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import type { Report } from "../../objects/report.ts";
import {
  isDnsName,
  isIpAddress,
  isNamespaceName,
  validateListedHost,
  validateSubsetName,
  warn,
} from "../../objects/validate-names.ts";
import {
  CaptureMode,
  type EgressListenerSpec,
  type EgressProxy,
  type IngressListenerSpec,
  type SidecarSpec,
} from "./spec.ts";

export function validateSidecar(spec: SidecarSpec, report: Report, { metadata }: KubernetesObject): void {
  const { workloadSelector, ingress, egress, outboundTrafficPolicy, inboundConnectionPool } = spec;
  if (
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
  validateEgress(egress, metadata.namespace ?? "", report);
  if (inboundConnectionPool !== undefined) {
    validateConnectionPool(inboundConnectionPool, "spec.inboundConnectionPool", report);
  }
  if (outboundTrafficPolicy?.mode === OutboundMode.AllowAnyDynamicDns) {
    report({ path: "spec.outboundTrafficPolicy.mode", message: "ALLOW_ANY_DYNAMIC_DNS is for the mesh only" });
  }
  if (outboundTrafficPolicy?.egressProxy !== undefined && outboundTrafficPolicy.mode !== OutboundMode.AllowAny) {
    report({ path: "spec.outboundTrafficPolicy.egressProxy", message: "egressProxy needs mode ALLOW_ANY" });
  }
  if (outboundTrafficPolicy?.egressProxy !== undefined) {
    validateEgressProxy(outboundTrafficPolicy.egressProxy, "spec.outboundTrafficPolicy.egressProxy", report);
  }
}

function validateEgressProxy({ host, port, subset }: EgressProxy, path: string, report: Report): void {
  if (!isDnsName(host)) report({ path: `${path}.host`, message: `"${host}" is not the name of a host` });
  if (port === undefined) report({ path, message: "the port of the proxy is needed", fix: "port: { number: 443 }" });
  else validatePortNumber(port.number, `${path}.port.number`, report);
  if (subset !== "") validateSubsetName(subset, `${path}.subset`, report);
}

/** Of both directions; the name of a port may be left out, and so may its protocol, which is then looked for. */
function validatePort({ name, protocol, targetPort }: Port, path: string, report: Report): void {
  if (name !== "") validatePortName(name, `${path}.name`, report);
  if (protocol !== "") validateProtocol(protocol, `${path}.protocol`, report);
  if (targetPort !== 0) report({ path: `${path}.targetPort`, message: "targetPort has no meaning in a Sidecar" });
}

function validateIngress(ingress: readonly IngressListenerSpec[], report: Report): void {
  const ports = new Set<number>();
  for (const [index, listener] of ingress.entries()) {
    const path = `spec.ingress[${index}]`;
    validatePortNumber(listener.port.number, `${path}.port.number`, report);
    validatePort(listener.port, `${path}.port`, report);
    if (listener.bind !== "" && !isIpAddress(listener.bind)) {
      report({ path: `${path}.bind`, message: `"${listener.bind}" is not an IP address` });
    }
    const { number, protocol } = listener.port;
    if (ports.has(number)) report({ path: `${path}.port`, message: `port ${number} stands twice` });
    ports.add(number);
    validateDefaultEndpoint(listener.defaultEndpoint, `${path}.defaultEndpoint`, report);
    if (listener.connectionPool !== undefined) {
      validateConnectionPool(listener.connectionPool, `${path}.connectionPool`, report);
      if (listener.connectionPool.http !== undefined && protocol !== "" && !isHttpProtocol(parseProtocol(protocol))) {
        report(warn(`${path}.connectionPool.http`, `${protocol} is not HTTP: only tcp has an effect`));
      }
    }
    validateIngressTls(listener, path, report);
  }
}

function validateIngressTls({ tls, port }: IngressListenerSpec, path: string, report: Report): void {
  if (tls === undefined) return;
  const protocol = parseProtocol(port.protocol);
  if (protocol !== Protocol.Https && protocol !== Protocol.Tls) {
    report({
      path: `${path}.tls`,
      message: `${port.protocol || "this port"} has no tls`,
      fix: "protocol: HTTPS or TLS",
    });
  }
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
  else if (tls.serverCertificate === "" || tls.privateKey === "") {
    report({ path: `${path}.tls`, message: "serverCertificate and privateKey are both needed" });
  }
  if (tls.mode === ServerTlsMode.Mutual && tls.caCertificates === "") {
    report({ path: `${path}.tls`, message: "MUTUAL needs caCertificates" });
  }
  if (tls.mode === ServerTlsMode.Simple && tls.caCrl !== "") {
    report({ path: `${path}.tls.caCrl`, message: "caCrl is for mutual TLS" });
  }
}

function validateDefaultEndpoint(endpoint: string, path: string, report: Report): void {
  if (endpoint === "") return;
  if (endpoint.startsWith("unix://")) {
    validateUnixPath(endpoint.slice("unix://".length), path, report);
    return;
  }
  const match = /^(127\.0\.0\.1|0\.0\.0\.0|\[::1\]|\[::\]|):(\d{1,5})$/.exec(endpoint);
  if (match === null) {
    report({ path, message: `"${endpoint}" is not an endpoint`, fix: "127.0.0.1:PORT, 0.0.0.0:PORT or unix:///path" });
  } else validatePortNumber(Number(match[2]), path, report);
}

function validateEgress(egress: readonly EgressListenerSpec[], own: string, report: Report): void {
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
    if (listener.port !== undefined) validatePort(listener.port, `${path}.port`, report);
    if (isSocket) validateUnixPath(listener.bind.slice("unix://".length), `${path}.bind`, report);
    if ((isSocket && number !== 0) || (listener.bind !== "" && !isSocket && !isIpAddress(listener.bind))) {
      report({
        path: `${path}.bind`,
        message: `"${listener.bind}" is not an IP address`,
        fix: "a Unix socket has port 0",
      });
    }
    if (isSocket && listener.captureMode === CaptureMode.Iptables) {
      report({ path: `${path}.captureMode`, message: "a Unix socket cannot be captured by iptables" });
    }
    const place = number === 0 ? listener.bind : String(number);
    if (listener.port !== undefined) {
      if (places.has(place)) report({ path, message: "another listener has the same port or socket" });
      places.add(place);
    }
    validateEgressHosts(listener.hosts, own, path, report);
  }
}

function validateEgressHosts(hosts: readonly string[], own: string, path: string, report: Report): void {
  if (hosts.length === 0)
    report({ path: `${path}.hosts`, message: "at least one host is needed", fix: 'hosts: ["*/*"]' });
  const seen = new Set<string>();
  for (const [index, entry] of hosts.entries()) {
    const at = `${path}.hosts[${index}]`;
    const [scope, name] = splitHost(entry, own);
    const others = [...seen].filter((other) => other.startsWith(`${scope}/`));
    if (
      name === "*" ? others.length > 0 : others.some((other) => other === `${scope}/${name}` || other.endsWith("/*"))
    ) {
      report(warn(at, `${entry} stands twice`));
    }
    seen.add(`${scope}/${name}`);
    const slash = entry.indexOf("/");
    if (slash === -1 || entry.indexOf("/", slash + 1) !== -1) {
      report({ path: at, message: `"${entry}" is not namespace/host`, fix: `"./${entry}" or "*/${entry}"` });
      continue;
    }
    const namespace = entry.slice(0, slash).replace(/^~/, "");
    if (namespace !== "" && namespace !== "*" && namespace !== "." && !isNamespaceName(namespace)) {
      report({ path: at, message: `"${namespace}" is not a namespace` });
    } else if (namespace === "" && !entry.startsWith("~")) report({ path: at, message: "the namespace is empty" });
    validateListedHost(entry.slice(slash + 1), at, report);
  }
  if (seen.has("*/*") && [...seen].some((entry) => entry !== "*/*" && !entry.startsWith("~"))) {
    report(warn(`${path}.hosts`, "*/* covers the other hosts"));
  }
}

/** The namespace, by name where it is the Sidecar's own, and the host. */
function splitHost(entry: string, own: string): [namespace: string, host: string] {
  const slash = entry.indexOf("/");
  const namespace = entry.slice(0, Math.max(slash, 0));
  return [namespace === "." ? own : namespace, entry.slice(slash + 1)];
}
