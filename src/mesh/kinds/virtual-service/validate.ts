// Rules for VirtualServices as a whole (reference 1.15); those for HTTP routes are in validate-http.ts.

import { validateLabels } from "../../objects/fields/selector.ts";
import { isSubsetOf } from "../../objects/host.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import type { Report } from "../../objects/report.ts";
import {
  isIpAddress,
  isIpOrCidr,
  isNamespaceName,
  validateExportTo,
  validateHost,
  warn,
} from "../../objects/validate-names.ts";
import { meshGateway, type RouteDestination, type VirtualServiceSpec } from "./spec.ts";
import { validateDestination, validateHttpRoute, validateWeights } from "./validate-http.ts";

export function validateVirtualService(spec: VirtualServiceSpec, report: Report, object: KubernetesObject): void {
  const isDelegate = spec.hosts.length === 0;
  validateHosts(spec, report);
  validateGateways(spec, report);
  validateExportTo(spec.exportTo, object.metadata.namespace ?? "", "spec.exportTo", report);
  if (spec.http.length + spec.tls.length + spec.tcp.length === 0) {
    report({ path: "spec", message: "at least one of http, tls and tcp is needed" });
  }
  if (isDelegate) validateDelegate(spec, report);
  for (const [index, route] of spec.http.entries()) validateHttpRoute(route, isDelegate, `spec.http[${index}]`, report);
  for (const [index, route] of spec.tls.entries()) {
    const path = `spec.tls[${index}]`;
    if (route.match.length === 0) report({ path, message: "a tls route needs a match with sniHosts" });
    for (const [at, match] of route.match.entries()) {
      const place = `${path}.match[${at}]`;
      if (match.sniHosts.length === 0) report({ path: place, message: "at least one of sniHosts is needed" });
      validateSniHosts(match.sniHosts, spec.hosts, place, report);
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
  for (const [index, host] of spec.hosts.entries()) {
    const path = `spec.hosts[${index}]`;
    if (!isIpAddress(host)) validateHost(host, path, report);
    const lower = host.toLowerCase();
    if (seen.has(lower)) report({ path, message: `the host ${host} stands twice` });
    seen.add(lower);
    if (host === "*" && spec.gateways.includes(meshGateway)) {
      report({ path, message: "the host * is for gateways, not for the mesh", fix: "name the gateways" });
    }
  }
}

function validateGateways(spec: VirtualServiceSpec, report: Report): void {
  for (const [index, gateway] of spec.gateways.entries()) {
    const path = `spec.gateways[${index}]`;
    const parts = gateway.split("/");
    if (parts.length > 2 || parts.includes("")) report({ path, message: `"${gateway}" is not [namespace/]name` });
    else if (parts.length === 2 && !isNamespaceName(parts[0] ?? "")) {
      report({ path, message: `"${parts[0] ?? ""}" is not a namespace` });
    } else if (parts.length === 1 && gateway.includes(".svc.")) {
      const [name = "", namespace = ""] = gateway.split(".");
      report(warn(path, "a gateway named by its DNS name is an old spelling", `${namespace}/${name}`));
    }
  }
}

function validateDelegate(spec: VirtualServiceSpec, report: Report): void {
  for (const field of ["gateways", "tls", "tcp"] as const) {
    if (spec[field].length > 0) {
      report({ path: `spec.${field}`, message: `a VirtualService without hosts is a delegate and has no ${field}` });
    }
  }
}

function validateSniHosts(sniHosts: readonly string[], hosts: readonly string[], path: string, report: Report): void {
  for (const [index, sni] of sniHosts.entries()) {
    const at = `${path}.sniHosts[${index}]`;
    if (isIpAddress(sni)) report(warn(at, "clients send no IP address as SNI"));
    else validateHost(sni, at, report);
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
}

function validateL4Route(route: readonly RouteDestination[], path: string, report: Report): void {
  if (route.length === 0) report({ path, message: "a route needs at least one destination" });
  for (const [index, item] of route.entries()) {
    validateDestination(item.destination, `${path}.route[${index}].destination`, report);
  }
  validateWeights(route, `${path}.route`, report);
}
