// What a Service must have: ports that can be told apart.

import { asArray, asRecord, isRecord, type JsonRecord } from "../../store/json.ts";
import { isDnsLabel, validateLabels } from "./names.ts";
import { oneOf, whole } from "./pod.ts";
import type { Problems } from "./problems.ts";

export function validateService(object: JsonRecord, stored: JsonRecord | undefined, problems: Problems): void {
  const spec = object["spec"];
  if (!isRecord(spec)) return problems.required("spec");
  oneOf(spec["type"], ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"], "spec.type", problems);
  validateLabels(spec["selector"], "spec.selector", problems);
  if (spec["type"] === "ExternalName") {
    if (!spec["externalName"]) problems.required("spec.externalName");
    return;
  }
  if (spec["ports"] !== undefined && !Array.isArray(spec["ports"]))
    problems.invalid("spec.ports", spec["ports"], "must be a list");
  const ports = asArray(spec["ports"]).map(asRecord);
  if (ports.length === 0 && spec["clusterIP"] !== "None") problems.required("spec.ports");
  const seen = new Set<string>();
  for (const [index, port] of ports.entries())
    validatePort(port, `spec.ports[${index}]`, ports.length > 1, seen, problems);
  const storedAddress = asRecord(stored?.["spec"])["clusterIP"];
  if (storedAddress !== undefined && spec["clusterIP"] !== storedAddress) {
    problems.invalid("spec.clusterIP", spec["clusterIP"], "field is immutable");
  }
}

function validatePort(port: JsonRecord, path: string, needsName: boolean, seen: Set<string>, problems: Problems): void {
  const { name, protocol, port: number, targetPort } = port;
  if (number === undefined) problems.required(`${path}.port`);
  whole(number, 1, 65_535, `${path}.port`, problems);
  oneOf(protocol, ["TCP", "UDP", "SCTP"], `${path}.protocol`, problems);
  if (needsName && !name) problems.required(`${path}.name`);
  if (name && !isDnsLabel(name)) problems.invalid(`${path}.name`, name, "must be a DNS label");
  if (typeof targetPort === "string") {
    const isPortName = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(targetPort) && targetPort.length <= 15;
    if (!isPortName)
      problems.invalid(`${path}.targetPort`, targetPort, "must be a number or a port's name of at most 15 characters");
  } else {
    whole(targetPort, 1, 65_535, `${path}.targetPort`, problems);
  }
  for (const key of [`name ${String(name ?? "")}`, `port ${String(protocol)}/${String(number)}`]) {
    if (seen.has(key)) problems.invalid(path, key, "another port of the service has the same");
    seen.add(key);
  }
}
