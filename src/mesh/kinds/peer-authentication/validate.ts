// Rules for PeerAuthentications that the types of their fields cannot say (reference 1.15).
import { validateSelector, warnOfEmptySelector } from "../../objects/fields/selector.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import type { Report } from "../../objects/report.ts";
import type { PeerAuthenticationSpec } from "./spec.ts";

export function validatePeerAuthentication(
  spec: PeerAuthenticationSpec,
  report: Report,
  object: KubernetesObject,
): void {
  validateSelector(spec.selector?.matchLabels ?? {}, "spec.selector.matchLabels", report);
  warnOfEmptySelector(spec.selector?.matchLabels, "spec.selector", report);
  const ports = Object.keys(spec.portLevelMtls);
  const isSelective = Object.keys(spec.selector?.matchLabels ?? {}).length > 0;
  if (ports.length > 0 && !isSelective) {
    report({
      path: "spec.portLevelMtls",
      message: "portLevelMtls needs a selector: ports belong to workloads",
      fix: "add selector.matchLabels",
    });
  }
  if (ports.length === 0 && isWritten(object, "portLevelMtls")) {
    report({ path: "spec.portLevelMtls", message: "portLevelMtls names no port", fix: "leave it out" });
  }
  for (const port of ports) {
    const number = Number(port);
    if (!Number.isInteger(number) || number < 1 || number > 65_535) {
      report({ path: `spec.portLevelMtls["${port}"]`, message: `"${port}" is not a port` });
    }
  }
}

function isWritten(object: KubernetesObject, field: string): boolean {
  const spec = object["spec"];
  return typeof spec === "object" && spec !== null && field in spec;
}
