// Reads a PeerAuthentication.
import { decodeSpec, map, oneOf, optional, record, withDefault } from "../../objects/decode.ts";
import { decodeWorkloadSelector } from "../../objects/fields/selector.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import type { Report } from "../../objects/report.ts";
import { MtlsMode, type PeerAuthenticationSpec } from "./spec.ts";

const mtls = record<PeerAuthenticationSpec["mtls"]>({
  mode: withDefault(oneOf(Object.values(MtlsMode)), MtlsMode.Unset),
});

const spec = record<PeerAuthenticationSpec>({
  selector: optional(decodeWorkloadSelector),
  mtls: withDefault(mtls, { mode: MtlsMode.Unset }),
  portLevelMtls: map(mtls),
});

export function decodePeerAuthentication(object: KubernetesObject, report: Report): PeerAuthenticationSpec | undefined {
  return decodeSpec(object, spec, report);
}
