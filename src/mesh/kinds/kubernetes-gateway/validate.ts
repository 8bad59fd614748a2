// Rules for Gateways that the types of their fields cannot say: those of the CRD's patterns and CEL expressions.
import { validateListeners } from "../../objects/fields/listener.ts";
import type { Report } from "../../objects/report.ts";
import { isIpAddress } from "../../objects/validate-names.ts";
import type { FrontendValidation, KubernetesGatewaySpec } from "./spec.ts";

export function validateKubernetesGateway(spec: KubernetesGatewaySpec, report: Report): void {
  validateTls(spec, report);
  if (spec.gatewayClassName === "") {
    report({ path: "spec.gatewayClassName", message: "a class is needed", fix: "gatewayClassName: istio" });
  }
  validateListeners(spec.listeners, report);
  for (const [index, { type, value }] of spec.addresses.entries()) {
    const path = `spec.addresses[${index}]`;
    if (type === "IPAddress" && value !== "" && !isIpAddress(value)) {
      report({ path, message: `"${value}" is not an IP address`, fix: "type: Hostname, for the name of a Service" });
    }
  }
}

function validateTls({ tls }: KubernetesGatewaySpec, report: Report): void {
  const frontend = tls?.frontend;
  if (frontend !== undefined) {
    const path = "spec.tls.frontend";
    if (frontend.default === undefined) {
      report({ path: `${path}.default`, message: "a default is needed", fix: "default: {}, for ports without any" });
    }
    validateRoots(frontend.default?.validation, `${path}.default.validation`, report);
    const ports = new Set<number>();
    for (const [index, { port, tls: ofPort }] of frontend.perPort.entries()) {
      const at = `${path}.perPort[${index}]`;
      if (port === 0) report({ path: `${at}.port`, message: "a port is needed" });
      else if (ports.has(port)) report({ path: `${at}.port`, message: `the port ${port} stands twice` });
      ports.add(port);
      if (ofPort === undefined)
        report({ path: `${at}.tls`, message: "tls is needed", fix: "tls: {}, for no validation" });
      validateRoots(ofPort?.validation, `${at}.tls.validation`, report);
    }
  }
  if (tls?.backend?.clientCertificateRef?.name === "") {
    report({ path: "spec.tls.backend.clientCertificateRef.name", message: "the name of a Secret is needed" });
  }
}

function validateRoots(validation: FrontendValidation | undefined, path: string, report: Report): void {
  if (validation === undefined) return;
  const { caCertificateRefs } = validation;
  if (caCertificateRefs.length === 0) {
    const fix = 'caCertificateRefs: [{group: "", kind: ConfigMap, name: a ConfigMap with ca.crt}]';
    report({ path: `${path}.caCertificateRefs`, message: "roots are needed", fix });
  }
  for (const [index, { kind, name }] of caCertificateRefs.entries()) {
    const at = `${path}.caCertificateRefs[${index}]`;
    if (kind === "") report({ path: `${at}.kind`, message: "a kind is needed", fix: "kind: ConfigMap" });
    if (name === "") report({ path: `${at}.name`, message: "a name is needed" });
  }
}
