// BackendTLSPolicy for the rest of the mesh: how it is read, and the rules of its CRD.
import { decodeSpec, list, oneOf, record, stringMap, text, withDefault } from "../../objects/decode.ts";
import { validateGatewayHostname } from "../../objects/fields/route-reference.ts";
import type { Kind } from "../../objects/kind.ts";
import type { BackendTlsPolicySpec, BackendTlsValidation, CaReference, PolicyTarget, SubjectAltName } from "./spec.ts";

const nothing: BackendTlsValidation = {
  caCertificateRefs: [],
  wellKnownCACertificates: "",
  hostname: "",
  subjectAltNames: [],
};

const validation = record<BackendTlsValidation>({
  caCertificateRefs: list(record<CaReference>({ group: text, kind: text, name: text }), 8),
  wellKnownCACertificates: text,
  hostname: text,
  subjectAltNames: list(
    record<SubjectAltName>({ type: withDefault(oneOf(["Hostname", "URI"]), "Hostname"), hostname: text, uri: text }),
    5,
  ),
});

const spec = record<BackendTlsPolicySpec>({
  targetRefs: list(record<PolicyTarget>({ group: text, kind: text, name: text, sectionName: text }), 16),
  validation: withDefault(validation, nothing),
  options: stringMap,
});

export const backendTlsPolicy: Kind<BackendTlsPolicySpec> = {
  kind: "BackendTLSPolicy",
  decode: (object, report) => decodeSpec(object, spec, report),
  validate({ targetRefs, validation: { caCertificateRefs, ...rest } }, report) {
    if (targetRefs.length === 0) report({ path: "spec.targetRefs", message: "a target is needed" });
    for (const [index, { kind, name }] of targetRefs.entries()) {
      if (kind === "" || name === "")
        report({ path: `spec.targetRefs[${index}]`, message: "kind and name are needed" });
    }
    const path = "spec.validation";
    if (caCertificateRefs.length > 0 === (rest.wellKnownCACertificates !== "")) {
      report({ path, message: "exactly one of caCertificateRefs and wellKnownCACertificates is needed" });
    }
    if (rest.hostname === "") report({ path: `${path}.hostname`, message: "a hostname is needed" });
    else if (rest.hostname.startsWith("*")) report({ path: `${path}.hostname`, message: "the hostname is a wildcard" });
    else validateGatewayHostname(rest.hostname, `${path}.hostname`, report);
    for (const [index, { type, hostname, uri }] of rest.subjectAltNames.entries()) {
      const needed = type === "URI" ? uri : hostname;
      const other = type === "URI" ? hostname : uri;
      if (needed === "" || other !== "") {
        const member = type === "URI" ? "uri" : "hostname";
        report({ path: `${path}.subjectAltNames[${index}]`, message: `${type} has ${member} and nothing else` });
      }
    }
  },
};
