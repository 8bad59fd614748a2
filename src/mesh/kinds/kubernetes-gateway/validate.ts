// Rules for Gateways that the types of their fields cannot say: those of the CRD's patterns and CEL expressions.
import { validateGatewayHostname, validateUniqueNames } from "../../objects/fields/route-reference.ts";
import type { Report } from "../../objects/report.ts";
import { isIpAddress } from "../../objects/validate-names.ts";
import type { KubernetesGatewaySpec, Listener } from "./spec.ts";

export function validateKubernetesGateway(spec: KubernetesGatewaySpec, report: Report): void {
  if (spec.gatewayClassName === "") {
    report({ path: "spec.gatewayClassName", message: "a class is needed", fix: "gatewayClassName: istio" });
  }
  if (spec.listeners.length === 0) report({ path: "spec.listeners", message: "at least one listener is needed" });
  validateUniqueNames(spec.listeners, "spec.listeners", report);
  const places = new Map<string, number>();
  for (const [index, listener] of spec.listeners.entries()) {
    const path = `spec.listeners[${index}]`;
    validateListener(listener, path, report);
    const place = `${listener.port} ${listener.protocol} ${listener.hostname}`;
    const earlier = places.get(place);
    if (earlier === undefined) places.set(place, index);
    else {
      const name = spec.listeners[earlier]?.name ?? "";
      report({ path, message: `port, protocol and hostname are those of the listener ${name}` });
    }
  }
  for (const [index, { type, value }] of spec.addresses.entries()) {
    const path = `spec.addresses[${index}]`;
    if (type === "IPAddress" && value !== "" && !isIpAddress(value)) {
      report({ path, message: `"${value}" is not an IP address`, fix: "type: Hostname, for the name of a Service" });
    }
  }
}

function validateListener(listener: Listener, path: string, report: Report): void {
  const { name, hostname, port, protocol, tls, allowedRoutes } = listener;
  if (name === "") report({ path: `${path}.name`, message: "a name is needed" });
  if (port === 0) report({ path: `${path}.port`, message: "a port is needed" });
  if (protocol === "") {
    report({ path: `${path}.protocol`, message: "a protocol is needed", fix: "HTTP, HTTPS, TLS or TCP" });
  }
  if (hostname !== "") validateGatewayHostname(hostname, `${path}.hostname`, report);
  if (hostname !== "" && ["TCP", "UDP"].includes(protocol)) {
    report({ path: `${path}.hostname`, message: `${protocol} has no hosts` });
  }
  if (tls !== undefined && ["HTTP", "TCP", "UDP"].includes(protocol)) {
    report({ path: `${path}.tls`, message: `${protocol} has no tls`, fix: protocol === "HTTP" ? "HTTPS" : "TLS" });
  }
  if (["HTTPS", "TLS"].includes(protocol) && tls === undefined) {
    report({ path, message: `${protocol} needs tls`, fix: "tls: { certificateRefs: [{ name: a Secret }] }" });
  }
  if (protocol === "HTTPS" && tls?.mode === "Passthrough") {
    report({ path: `${path}.tls.mode`, message: "HTTPS ends TLS", fix: "protocol: TLS" });
  }
  const isWithoutCertificate = tls?.certificateRefs.length === 0 && Object.keys(tls.options).length === 0;
  if (tls?.mode === "Terminate" && isWithoutCertificate) {
    report({ path: `${path}.tls`, message: "Terminate needs certificateRefs or options" });
  }
  const { from, selector } = allowedRoutes?.namespaces ?? {};
  if (from === "None") report({ path: `${path}.allowedRoutes.namespaces.from`, message: "None is for listeners" });
  if (from === "Selector" && selector === undefined) {
    report({ path: `${path}.allowedRoutes.namespaces`, message: "Selector needs a selector" });
  }
}
