// Ingress for the rest of the mesh: how it is read, and the API server's rules for it.
import { count, decodeSpec, list, oneOf, optional, record, strings, text } from "../../objects/decode.ts";
import type { Kind } from "../../objects/kind.ts";
import type { Report } from "../../objects/report.ts";
import { isDnsName } from "../../objects/validate-names.ts";
import {
  type IngressBackend,
  type IngressPath,
  type IngressRule,
  type IngressSpec,
  type IngressTls,
  PathType,
} from "./spec.ts";

type BackendService = NonNullable<IngressBackend["service"]>;

const backend = record<IngressBackend>({
  service: optional(
    record<BackendService>({
      name: text,
      port: optional(record<NonNullable<BackendService["port"]>>({ name: text, number: count })),
    }),
  ),
  resource: optional(record<NonNullable<IngressBackend["resource"]>>({ apiGroup: text, kind: text, name: text })),
});

const path = record<IngressPath>({
  path: text,
  pathType: optional(oneOf(Object.values(PathType))),
  backend: optional(backend),
});

const spec = record<IngressSpec>({
  ingressClassName: text,
  defaultBackend: optional(backend),
  tls: list(record<IngressTls>({ hosts: strings, secretName: text })),
  rules: list(
    record<IngressRule>({
      host: text,
      http: optional(record<NonNullable<IngressRule["http"]>>({ paths: list(path) })),
    }),
  ),
});

export const ingress: Kind<IngressSpec> = {
  kind: "Ingress",
  decode: (object, report) => decodeSpec(object, spec, report),
  validate({ defaultBackend, tls, rules }, report) {
    if (defaultBackend === undefined && rules.length === 0) {
      report({ path: "spec", message: "an Ingress has rules or a defaultBackend" });
    }
    validateBackend(defaultBackend, "spec.defaultBackend", report);
    for (const [index, { hosts }] of tls.entries()) {
      for (const [at, host] of hosts.entries()) validateHost(host, `spec.tls[${index}].hosts[${at}]`, report);
    }
    for (const [index, { host, http }] of rules.entries()) {
      const at = `spec.rules[${index}]`;
      if (host !== "") validateHost(host, `${at}.host`, report);
      if (http?.paths.length === 0) report({ path: `${at}.http.paths`, message: "http has no paths" });
      for (const [number, item] of (http?.paths ?? []).entries()) {
        validatePath(item, `${at}.http.paths[${number}]`, report);
      }
    }
  },
};

function validateHost(host: string, at: string, report: Report): void {
  const name = host.startsWith("*.") ? host.slice(2) : host;
  if (isDnsName(name) && name === name.toLowerCase() && !name.includes("_")) return;
  report({ path: at, message: `"${host}" is not a host name`, fix: "a DNS name, or one that begins with *." });
}

const forbidden = ["//", "/./", "/../", "%2f", "%2F"];

function validatePath({ path: value, pathType, backend: target }: IngressPath, at: string, report: Report): void {
  if (pathType === undefined) {
    report({ path: `${at}.pathType`, message: "pathType is missing", fix: "Prefix, Exact or ImplementationSpecific" });
  } else if (pathType !== PathType.ImplementationSpecific || value !== "") {
    if (!value.startsWith("/")) report({ path: `${at}.path`, message: `"${value}" does not begin with /` });
    const part = forbidden.find((text) => value.includes(text)) ?? /\/\.{1,2}$/.exec(value)?.[0];
    if (pathType !== PathType.ImplementationSpecific && part !== undefined) {
      report({ path: `${at}.path`, message: `"${part}" cannot stand in a path` });
    }
  }
  if (target === undefined) report({ path: `${at}.backend`, message: "the path has no backend" });
  validateBackend(target, `${at}.backend`, report);
}

function validateBackend(target: IngressBackend | undefined, at: string, report: Report): void {
  if (target === undefined) return;
  const { service, resource } = target;
  if ((service === undefined) === (resource === undefined)) {
    report({ path: at, message: "a backend is either a service or a resource" });
  }
  if (service === undefined) return;
  const { name, port } = service;
  if (name === "") report({ path: `${at}.service.name`, message: "the service has no name" });
  if (port === undefined || (port.name === "") === (port.number === 0)) {
    report({
      path: `${at}.service.port`,
      message: "a port has either a number or a name",
      fix: "port: { number: 80 }",
    });
  } else if (port.number > 65_535) {
    report({ path: `${at}.service.port.number`, message: `${port.number} is not a port` });
  }
}
