// Rules for Gateways that the types of their fields cannot say (reference 1.15).
import { Protocol, parseProtocol, validatePortNumber, validateProtocol } from "../../objects/fields/port.ts";
import { validateSelector } from "../../objects/fields/selector.ts";
import { ServerTlsMode, type ServerTlsSettings, type TlsVersion } from "../../objects/fields/server-tls.ts";
import {
  validateCertificateHashes,
  validateCipherSuites,
  validateKeyHashes,
} from "../../objects/fields/tls-parameters.ts";
import { validateUnixPath } from "../../objects/fields/workload-validate.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import type { Report } from "../../objects/report.ts";
import { isDnsLabel, isIpAddress, isNamespaceName, validateListedHost, warn } from "../../objects/validate-names.ts";
import { isHttpServer } from "./resolve.ts";
import type { GatewaySpec, Server } from "./spec.ts";

export function validateGateway(spec: GatewaySpec, report: Report, { metadata }: KubernetesObject): void {
  if (!isDnsLabel(metadata.name)) {
    const message = `"${metadata.name}" cannot be the name of a Gateway`;
    report({ path: "metadata.name", message, fix: "a name without dots, at most 63 characters" });
  }
  validateSelector(spec.selector, "spec.selector", report);
  if (spec.servers.length === 0) report({ path: "spec.servers", message: "at least one server is needed" });
  const names = new Set<string>();
  for (const [index, server] of spec.servers.entries()) {
    const path = `spec.servers[${index}]`;
    validateServer(server, path, report);
    const { name } = server.port;
    if (name !== "" && names.has(name)) {
      report({ path: `${path}.port.name`, message: `the port name ${name} stands twice in this Gateway` });
    }
    names.add(name);
  }
}

function validateServer(server: Server, path: string, report: Report): void {
  const { port, bind } = server;
  const isSocket = bind.startsWith("unix://");
  if (isSocket && port.number !== 0) report({ path: `${path}.port.number`, message: "a Unix socket has port 0" });
  if (!isSocket) validatePortNumber(port.number, `${path}.port.number`, report);
  if (isSocket) validateUnixPath(bind.slice("unix://".length), `${path}.bind`, report);
  if (bind !== "" && !isSocket && !isIpAddress(bind)) {
    report({ path: `${path}.bind`, message: `"${bind}" is not an IP address or unix://path` });
  }
  validateProtocol(port.protocol, `${path}.port.protocol`, report);
  if (port.name === "") report({ path: `${path}.port`, message: "the port needs a name" });
  if (port.targetPort !== 0) {
    report({ path: `${path}.port.targetPort`, message: "targetPort has no meaning in a Gateway" });
  }
  if (server.hosts.length === 0) report({ path: `${path}.hosts`, message: "at least one host is needed" });
  for (const [index, host] of server.hosts.entries()) validateServerHost(host, `${path}.hosts[${index}]`, report);
  validateTls(server, path, report);
}

function validateServerHost(entry: string, path: string, report: Report): void {
  const parts = entry.split("/");
  if (parts.length > 2) report({ path, message: `"${entry}" is not [namespace/]host` });
  const namespace = parts.length === 2 ? (parts[0] ?? "") : "*";
  if (namespace !== "*" && namespace !== "." && !isNamespaceName(namespace)) {
    report({ path, message: `"${namespace}" is not a namespace` });
  }
  validateListedHost(parts.at(-1) ?? "", path, report, { addresses: true });
}

function validateTls(server: Server, path: string, report: Report): void {
  const { tls } = server;
  const protocol = parseProtocol(server.port.protocol);
  const speaksTls = protocol === Protocol.Https || protocol === Protocol.Tls;
  if (speaksTls && tls === undefined) {
    report({ path, message: `${server.port.protocol} needs tls`, fix: "tls: { mode: SIMPLE, credentialName: ... }" });
  }
  if (tls === undefined) return;
  const at = `${path}.tls`;
  const isPlain = isHttpServer(server) && protocol !== Protocol.Https;
  if (isPlain && saysMoreThanRedirect(tls)) {
    report({ path: at, message: `${server.port.protocol} is plain text: only httpsRedirect can be set` });
    return;
  }
  if (!isPlain && tls.httpsRedirect) {
    report(warn(`${at}.httpsRedirect`, "only a plain HTTP server can redirect to https"));
  }
  if (!isPlain && !speaksTls) {
    report({ path: at, message: `${server.port.protocol} has no tls`, fix: "protocol: TLS, or without tls" });
    return;
  }
  if (!isPlain) validateServerTls(tls, at, report);
}

function saysMoreThanRedirect(tls: ServerTlsSettings): boolean {
  return (
    tls.mode !== ServerTlsMode.Passthrough ||
    tls.serverCertificate !== "" ||
    tls.privateKey !== "" ||
    tls.caCertificates !== "" ||
    tls.credentialName !== "" ||
    tls.credentialNames.length > 0
  );
}

function validateServerTls(tls: ServerTlsSettings, path: string, report: Report): void {
  validateCipherSuites(tls.cipherSuites, `${path}.cipherSuites`, report);
  validateCertificateHashes(tls.verifyCertificateHash, `${path}.verifyCertificateHash`, report);
  validateVersions(tls, path, report);
  validateKeyHashes(tls.verifyCertificateSpki, `${path}.verifyCertificateSpki`, report);
  const hasFiles = tls.serverCertificate !== "" || tls.privateKey !== "";
  const sources = [
    tls.credentialName !== "",
    tls.credentialNames.length > 0,
    tls.tlsCertificates.length > 0,
    hasFiles,
  ].filter(Boolean).length;
  if (sources > 1) {
    report({ path, message: "only one of credentialName, credentialNames, tlsCertificates and files can be set" });
  }
  if (tls.mode === ServerTlsMode.IstioMutual) {
    if (sources > 0 || tls.caCertificates !== "") {
      report({ path, message: "ISTIO_MUTUAL uses the mesh's certificates: no other can be set" });
    }
    return;
  }
  if (tls.mode === ServerTlsMode.Passthrough || tls.mode === ServerTlsMode.AutoPassthrough) {
    if (sources > 0 || tls.caCertificates !== "" || tls.caCrl !== "") {
      report(warn(path, `${tls.mode} does not open TLS: the certificates have no effect`));
    }
    return;
  }
  if (sources === 0) {
    report({ path, message: `${tls.mode} needs a certificate`, fix: "credentialName: the name of a secret" });
  } else if (tls.tlsCertificates.some((pair) => pair.serverCertificate === "" || pair.privateKey === "")) {
    report({ path: `${path}.tlsCertificates`, message: "serverCertificate and privateKey are both needed" });
  } else if (hasFiles && (tls.serverCertificate === "" || tls.privateKey === "")) {
    report({ path, message: "serverCertificate and privateKey are both needed" });
  }
  const isMutual = tls.mode === ServerTlsMode.Mutual || tls.mode === ServerTlsMode.OptionalMutual;
  if (
    isMutual &&
    (hasFiles || tls.tlsCertificates.length > 0) &&
    tls.caCertificates === "" &&
    tls.caCertCredentialName === ""
  ) {
    report({ path, message: `${tls.mode} needs caCertificates` });
  }
  if (tls.caCrl !== "" && (tls.credentialName !== "" || tls.mode === ServerTlsMode.Simple)) {
    report({ path: `${path}.caCrl`, message: "caCrl is for mutual TLS with certificate files" });
  }
  for (const field of ["credentialNames", "tlsCertificates"] as const) {
    if (tls[field].length > 2) report({ path: `${path}.${field}`, message: "at most two can be given" });
  }
}

const versions: readonly TlsVersion[] = ["TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"];

function validateVersions(
  { minProtocolVersion, maxProtocolVersion, cipherSuites }: ServerTlsSettings,
  path: string,
  report: Report,
): void {
  const [min, max] = [minProtocolVersion, maxProtocolVersion].map((version) => versions.indexOf(version)) as [
    number,
    number,
  ];
  if (min !== -1 && min < versions.indexOf("TLSV1_2") && cipherSuites.length === 0) {
    const message = `none of the usual cipher suites is for ${minProtocolVersion}`;
    report(warn(`${path}.minProtocolVersion`, message, "cipherSuites: those of the old clients"));
  }
  if (max !== -1 && min > max) {
    report({ path: `${path}.maxProtocolVersion`, message: `${maxProtocolVersion} is below ${minProtocolVersion}` });
  } else if (max !== -1 && max < versions.indexOf("TLSV1_2")) {
    report(warn(`${path}.maxProtocolVersion`, `${maxProtocolVersion} is broken and not spoken; TLS 1.2 is`));
  }
}
