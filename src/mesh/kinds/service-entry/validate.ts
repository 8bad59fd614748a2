// Rules for ServiceEntries that the types of their fields cannot say (reference 1.15).
import {
  isHttpProtocol,
  Protocol,
  parseProtocol,
  validatePortName,
  validatePortNumber,
  validateProtocol,
} from "../../objects/fields/port.ts";
import { validateSelector } from "../../objects/fields/selector.ts";
import { validateWorkloadAddress } from "../../objects/fields/workload-validate.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import type { Report } from "../../objects/report.ts";
import {
  isIpAddress,
  isIpOrCidr,
  isPartialWildcard,
  validateExportTo,
  validateHost,
  warn,
} from "../../objects/validate-names.ts";
import { EntryResolution, type ServiceEntrySpec } from "./spec.ts";

export function validateServiceEntry(spec: ServiceEntrySpec, report: Report, object: KubernetesObject): void {
  validateHosts(spec, report);
  validateAddresses(spec, report);
  validatePorts(spec, report);
  validateEndpoints(spec, report);
  validateExportTo(spec.exportTo, object.metadata.namespace ?? "", report, { none: true });
  if (spec.workloadSelector !== undefined) {
    const { labels } = spec.workloadSelector;
    validateSelector(labels, "spec.workloadSelector.labels", report);
    if (Object.keys(labels).length === 0) {
      report(warn("spec.workloadSelector", "a workloadSelector without labels selects nothing"));
    }
  }
  if (spec.resolution === EntryResolution.DynamicDns) validateDynamicDns(spec, report);
}

function validateHosts(spec: ServiceEntrySpec, report: Report): void {
  if (spec.hosts.length === 0) report({ path: "spec.hosts", message: "at least one host is needed" });
  for (const [index, host] of spec.hosts.entries()) {
    const path = `spec.hosts[${index}]`;
    if (host === "*") report({ path, message: "the host * would take all traffic and is not allowed" });
    else if (isIpAddress(host)) {
      report({ path, message: `"${host}" is an address, not a name`, fix: "addresses is the place for it" });
    } else validateHost(host, path, report);
    if (isPartialWildcard(host)) report(warn(path, `"${host}" is matched as it is written, label by label`, "*.NAME"));
    const isDns = spec.resolution === EntryResolution.Dns || spec.resolution === EntryResolution.DnsRoundRobin;
    if (isDns && host.startsWith("*") && spec.endpoints.length === 0) {
      report({ path, message: `${host} cannot be resolved by DNS`, fix: "give endpoints, or resolution: NONE" });
    }
  }
  if (spec.resolution === EntryResolution.DnsRoundRobin && spec.hosts.length > 1) {
    report(warn("spec.hosts", "DNS_ROUND_ROBIN is meant for one host"));
  }
  const plain = spec.ports.findIndex(({ protocol }) => !tellsHosts(parseProtocol(protocol)));
  if (spec.resolution !== EntryResolution.None && spec.hosts.length > 1 && plain !== -1) {
    report({
      path: "spec.hosts",
      message: `nothing in the traffic of port ${spec.ports[plain]?.number} tells these hosts from each other`,
      fix: "one ServiceEntry for each host",
    });
  }
}

/** The client names the host, by a header or in the handshake. */
function tellsHosts(protocol: Protocol): boolean {
  return isHttpProtocol(protocol) || protocol === Protocol.Https || protocol === Protocol.Tls;
}

function validateAddresses(spec: ServiceEntrySpec, report: Report): void {
  for (const [index, address] of spec.addresses.entries()) {
    const path = `spec.addresses[${index}]`;
    if (!isIpOrCidr(address)) report({ path, message: `"${address}" is not an IP address or a CIDR block` });
    const takesBlocks = spec.resolution === EntryResolution.None || spec.resolution === EntryResolution.Static;
    if (address.includes("/") && !takesBlocks) {
      report({ path, message: "CIDR blocks are allowed only with resolution NONE or STATIC" });
    }
  }
  const hasTcp = spec.ports.some(({ protocol }) => protocol === "" || parseProtocol(protocol) === Protocol.Tcp);
  if (hasTcp && spec.addresses.length === 0 && spec.resolution === EntryResolution.None) {
    report({
      ...warn(
        "spec.addresses",
        "a TCP port without addresses takes all traffic to that port",
        "give addresses, or the clients' DNS must be captured",
      ),
      code: "IST0134",
    });
  }
}

function validatePorts(spec: ServiceEntrySpec, report: Report): void {
  const numbers = new Set<number>();
  const names = new Set<string>();
  for (const [index, port] of spec.ports.entries()) {
    const path = `spec.ports[${index}]`;
    validatePortNumber(port.number, `${path}.number`, report);
    if (port.targetPort !== 0) validatePortNumber(port.targetPort, `${path}.targetPort`, report);
    if (port.name === "") report({ path, message: "the port needs a name" });
    else validatePortName(port.name, `${path}.name`, report);
    if (numbers.has(port.number)) report({ path: `${path}.number`, message: `port ${port.number} stands twice` });
    if (names.has(port.name)) report({ path: `${path}.name`, message: `the name ${port.name} stands twice` });
    numbers.add(port.number);
    names.add(port.name);
    if (port.protocol !== "") validateProtocol(port.protocol, `${path}.protocol`, report);
  }
}

function validateEndpoints(spec: ServiceEntrySpec, report: Report): void {
  const { endpoints, resolution } = spec;
  if (spec.workloadSelector !== undefined && endpoints.length > 0) {
    report({ path: "spec.endpoints", message: "only one of workloadSelector and endpoints can be set" });
  }
  if (resolution === EntryResolution.None && endpoints.length > 0) {
    report({ path: "spec.endpoints", message: "resolution NONE takes no endpoints", fix: "resolution: STATIC" });
  }
  if (resolution === EntryResolution.None && spec.workloadSelector !== undefined) {
    report(warn("spec.workloadSelector", "with resolution NONE no workload is looked for", "resolution: STATIC"));
  }
  if (resolution === EntryResolution.DnsRoundRobin && endpoints.length > 1) {
    report({ path: "spec.endpoints", message: "DNS_ROUND_ROBIN takes one endpoint" });
  }
  const portNames = new Set(spec.ports.map((port) => port.name));
  for (const [index, endpoint] of endpoints.entries()) {
    const path = `spec.endpoints[${index}]`;
    validateWorkloadAddress(endpoint, path, report);
    const isDns = resolution === EntryResolution.Dns || resolution === EntryResolution.DnsRoundRobin;
    if (isDns && endpoint.address === "" && endpoint.network !== "") {
      report({ path: `${path}.address`, message: "an address is needed with DNS", fix: "resolution: STATIC" });
    }
    const isSocket = endpoint.address.startsWith("unix://");
    if (
      resolution === EntryResolution.Static &&
      endpoint.address !== "" &&
      !isSocket &&
      !isIpAddress(endpoint.address)
    ) {
      report({
        path: `${path}.address`,
        message: `"${endpoint.address}" is not an IP address`,
        fix: "resolution: DNS",
      });
    }
    if (resolution !== EntryResolution.Static && isSocket) {
      report({ path: `${path}.address`, message: "a Unix socket needs resolution STATIC" });
    }
    if (isSocket && spec.ports.length !== 1) {
      report({ path: `${path}.address`, message: "a Unix socket serves exactly one port" });
    }
    for (const name of Object.keys(endpoint.ports)) {
      if (!portNames.has(name)) {
        const fix = `one of ${[...portNames].join(", ")}`;
        report({ path: `${path}.ports["${name}"]`, message: `the ServiceEntry has no port named ${name}`, fix });
      }
    }
  }
}

function validateDynamicDns(spec: ServiceEntrySpec, report: Report): void {
  if (!spec.hosts.some((host) => host.startsWith("*"))) {
    report({ path: "spec.hosts", message: "DYNAMIC_DNS needs a wildcard host", fix: "resolution: DNS" });
  }
  if (spec.addresses.length > 0) report({ path: "spec.addresses", message: "DYNAMIC_DNS takes no addresses" });
  if (spec.endpoints.length > 0) report({ path: "spec.endpoints", message: "DYNAMIC_DNS takes no endpoints" });
  const allowed: ReadonlySet<string> = new Set([Protocol.Http, Protocol.Http2, Protocol.Grpc, Protocol.Tls]);
  for (const [index, port] of spec.ports.entries()) {
    if (!allowed.has(parseProtocol(port.protocol))) {
      report({ path: `spec.ports[${index}].protocol`, message: `DYNAMIC_DNS does not know ${port.protocol}` });
    }
  }
}
