// Rules for VirtualServices as a whole (reference 1.15); those for HTTP routes are in validate-http.ts.

import { validateLabels } from "../../objects/fields/selector.ts";
import { isSubsetOf, isWildcard } from "../../objects/host.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import type { Report } from "../../objects/report.ts";
import { isIpAddress, isIpOrCidr, validateExportTo, validateHost, warn } from "../../objects/validate-names.ts";
import { validateGatewayNames } from "./gateway-names.ts";
import { meshGateway, type RouteDestination, type VirtualServiceSpec } from "./spec.ts";
import { validateDestination, validateHttpRoute, validateNoClaims, validateWeights } from "./validate-http.ts";

export function validateVirtualService(spec: VirtualServiceSpec, report: Report, object: KubernetesObject): void {
  const isDelegate = spec.hosts.length === 0;
  validateHosts(spec, report);
  validateGatewayNames(spec.gateways, "spec.gateways", report);
  validateExportTo(spec.exportTo, object.metadata.namespace ?? "", report);
  if (spec.http.length + spec.tls.length + spec.tcp.length === 0) {
    report({ path: "spec", message: "at least one of http, tls and tcp is needed" });
  }
  if (isDelegate) validateDelegate(spec, report);
  for (const [index, route] of spec.http.entries()) {
    const path = `spec.http[${index}]`;
    validateHttpRoute(route, isDelegate, path, report);
    if (!isForGateways(spec)) validateNoClaims(route, path, report);
  }
  for (const [index, route] of spec.tls.entries()) {
    const path = `spec.tls[${index}]`;
    if (route.match.length === 0) report({ path, message: "a tls route needs a match with sniHosts" });
    for (const [at, match] of route.match.entries()) {
      const place = `${path}.match[${at}]`;
      if (match.sniHosts.length === 0) report({ path: place, message: "at least one of sniHosts is needed" });
      validateSniHosts(match.sniHosts, spec, place, report);
      validateL4(match, place, report);
    }
    validateL4Route(route.route, path, report);
  }
  for (const [index, route] of spec.tcp.entries()) {
    const path = `spec.tcp[${index}]`;
    for (const [at, match] of route.match.entries()) validateL4(match, `${path}.match[${at}]`, report);
    validateL4Route(route.route, path, report);
  }
}

function validateHosts(spec: VirtualServiceSpec, report: Report): void {
  const seen = new Set<string>();
  const wildcards = new Set(spec.hosts.filter(isWildcard).map((host) => host.toLowerCase()));
  const bySni = isForGateways(spec) && spec.tls.some(({ match }) => match.some(({ sniHosts }) => sniHosts.length > 0));
  for (const [index, host] of spec.hosts.entries()) {
    const path = `spec.hosts[${index}]`;
    if (!isIpAddress(host) && !(bySni && isMeshSni(host))) validateHost(host, path, report);
    const lower = host.toLowerCase();
    if (seen.has(lower)) report({ path, message: `the host ${host} stands twice` });
    else {
      const other = coveredBy(lower, wildcards);
      if (other !== undefined) report({ path, message: `the hosts ${other} and ${host} cover each other` });
    }
    seen.add(lower);
    if (host === "*" && spec.gateways.includes(meshGateway)) {
      report({ path, message: "the host * is for gateways, not for the mesh", fix: "name the gateways" });
    }
  }
}

/** The wildcard that stands for a host too; as many steps as the host has characters. */
function coveredBy(host: string, wildcards: ReadonlySet<string>): string | undefined {
  if (wildcards.size === 0) return undefined;
  for (let from = isWildcard(host) ? 2 : 1; from <= host.length; from++) {
    const pattern = `*${host.slice(from)}`;
    if (wildcards.has(pattern)) return pattern;
  }
  return undefined;
}

/** Not for the mesh: hosts may be what only a gateway sees. */
function isForGateways({ gateways }: VirtualServiceSpec): boolean {
  return gateways.length > 0 && !gateways.includes(meshGateway);
}

/** `outbound_.80_._.name`, by which one network's gateway names a service to another's. */
function isMeshSni(host: string): boolean {
  return /^outbound_\.\d+_\.[^.]*_?\.[-a-z0-9.]+$/i.test(host);
}

function validateDelegate(spec: VirtualServiceSpec, report: Report): void {
  for (const field of ["gateways", "tls", "tcp"] as const) {
    if (spec[field].length > 0) {
      report({ path: `spec.${field}`, message: `a VirtualService without hosts is a delegate and has no ${field}` });
    }
  }
}

function validateSniHosts(sniHosts: readonly string[], spec: VirtualServiceSpec, path: string, report: Report): void {
  const { hosts } = spec;
  for (const [index, sni] of sniHosts.entries()) {
    const at = `${path}.sniHosts[${index}]`;
    if (isIpAddress(sni)) report(warn(at, "clients send no IP address as SNI"));
    else if (!(isForGateways(spec) && isMeshSni(sni))) validateHost(sni, at, report);
    if (!hosts.some((host) => isSubsetOf(sni.toLowerCase(), host.toLowerCase()))) {
      report({ path: at, message: `${sni} is not covered by the hosts of this VirtualService` });
    }
  }
}

function validateL4(
  match: {
    readonly destinationSubnets: readonly string[];
    readonly port: number;
    readonly sourceLabels: Readonly<Record<string, string>>;
    readonly gateways: readonly string[];
  },
  path: string,
  report: Report,
): void {
  for (const [index, subnet] of match.destinationSubnets.entries()) {
    if (!isIpOrCidr(subnet)) {
      report({
        path: `${path}.destinationSubnets[${index}]`,
        message: `"${subnet}" is not an address or a CIDR block`,
      });
    }
  }
  if (match.port > 65_535) report({ path: `${path}.port`, message: `${match.port} is not a port` });
  validateLabels(match.sourceLabels, `${path}.sourceLabels`, report);
  validateGatewayNames(match.gateways, `${path}.gateways`, report);
}

function validateL4Route(route: readonly RouteDestination[], path: string, report: Report): void {
  if (route.length === 0) report({ path, message: "a route needs at least one destination" });
  for (const [index, item] of route.entries()) {
    validateDestination(item.destination, `${path}.route[${index}].destination`, report);
  }
  validateWeights(route, `${path}.route`, report);
}
