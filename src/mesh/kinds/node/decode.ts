// Reads a Kubernetes Node.

import { lenientRecord, list, text } from "../../objects/decode.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import { child } from "../../objects/path.ts";
import type { Report } from "../../objects/report.ts";
import type { NodeSpec } from "./spec.ts";

const status = lenientRecord<NodeSpec>({ addresses: list(lenientRecord({ type: text, address: text })) });

export function decodeNode(object: KubernetesObject, report: Report): NodeSpec | undefined {
  return status(object["status"] ?? {}, child(undefined, "status"), report);
}
