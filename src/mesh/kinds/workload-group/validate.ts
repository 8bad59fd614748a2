// Rules for WorkloadGroups (reference 1.15).
import { validateLabels } from "../../objects/fields/selector.ts";
import { validateWorkloadAddress } from "../../objects/fields/workload-validate.ts";
import type { Report } from "../../objects/report.ts";
import type { ReadinessProbe, WorkloadGroupSpec } from "./spec.ts";

export function validateWorkloadGroup({ metadata, template, probe }: WorkloadGroupSpec, report: Report): void {
  if (template === undefined) {
    report({ path: "spec.template", message: "a template is needed", fix: "template: {}" });
  } else {
    // The workload brings the address when it connects.
    const { address } = template;
    validateWorkloadAddress({ ...template, address: address === "" ? "0.0.0.0" : address }, "spec.template", report);
  }
  validateLabels(metadata?.labels ?? {}, "spec.metadata.labels", report);
  if (probe !== undefined) validateProbe(probe, report);
}

function validateProbe(probe: ReadinessProbe, report: Report): void {
  const numbers = [
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
  ] as const;
  for (const field of numbers) {
    if (probe[field] < 0) report({ path: `spec.probe.${field}`, message: "is negative" });
  }
  const handlers = (["httpGet", "tcpSocket", "exec", "grpc"] as const).filter((name) => probe[name] !== undefined);
  if (handlers.length !== 1) {
    report({ path: "spec.probe", message: "exactly one of httpGet, tcpSocket, exec and grpc is needed" });
  }
  for (const name of ["httpGet", "tcpSocket", "grpc"] as const) {
    const port = probe[name]?.port;
    if (port === undefined || (port >= 1 && port <= 65_535)) continue;
    report({ path: `spec.probe.${name}.port`, message: `${port} is not between 1 and 65535` });
  }
  const { httpGet, exec } = probe;
  if (httpGet !== undefined && !["", "HTTP", "HTTPS"].includes(httpGet.scheme)) {
    report({ path: "spec.probe.httpGet.scheme", message: `"${httpGet.scheme}" is neither HTTP nor HTTPS` });
  }
  for (const [index, { name }] of (httpGet?.httpHeaders ?? []).entries()) {
    if (/^[-_A-Za-z0-9]+$/.test(name)) continue;
    report({ path: `spec.probe.httpGet.httpHeaders[${index}].name`, message: `"${name}" is not a header name` });
  }
  if (exec !== undefined && exec.command.length === 0) {
    report({ path: "spec.probe.exec.command", message: "a command is needed" });
  }
}
