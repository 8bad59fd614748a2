// What a route of the Gateway API refers to: the parents that it attaches to, and the backends that it sends to.
import { type Decoder, type Fields, integer, list, record, text, withDefault } from "../decode.ts";
import type { Report } from "../report.ts";
import { isIpAddress } from "../validate-names.ts";

export const gatewayApiGroup = "gateway.networking.k8s.io";

export interface ParentReference {
  readonly group: string;
  readonly kind: string;
  /** Empty means the route's own. */
  readonly namespace: string;
  readonly name: string;
  /** A listener; empty means all. */
  readonly sectionName: string;
  /** 0 means all. */
  readonly port: number;
}

export interface ObjectReference {
  readonly group: string;
  readonly kind: string;
  /** Empty means the namespace of the object that refers. */
  readonly namespace: string;
  readonly name: string;
}

export interface BackendReference extends ObjectReference {
  /** 0 when not set. */
  readonly port: number;
}

export interface WeightedBackend extends BackendReference {
  readonly weight: number;
}

const portNumber = withDefault(integer(1, 65535), 0);
const weight = withDefault(integer(0, 1_000_000), 1);

const parentReference: Decoder<ParentReference> = record<ParentReference>({
  group: withDefault(text.decode, gatewayApiGroup),
  kind: withDefault(text.decode, "Gateway"),
  namespace: text,
  name: text,
  sectionName: text,
  port: portNumber,
});

export const parentReferences: { decode: Decoder<readonly ParentReference[]>; absent: readonly ParentReference[] } =
  list(parentReference, 32);

const backend = {
  group: text,
  kind: withDefault(text.decode, "Service"),
  namespace: text,
  name: text,
  port: portNumber,
};

export const decodeBackendReference: Decoder<BackendReference> = record<BackendReference>(backend);
export const weightedBackendFields: Fields<WeightedBackend> = { ...backend, weight };
export const decodeWeightedBackend: Decoder<WeightedBackend> = record<WeightedBackend>(weightedBackendFields);

/** Says its kind itself. */
export const decodeObjectReference: Decoder<ObjectReference> = record<ObjectReference>({
  group: text,
  kind: text,
  namespace: text,
  name: text,
});

/** Refers to a Secret unless it says otherwise. */
export const decodeSecretReference: Decoder<ObjectReference> = record<ObjectReference>({
  group: text,
  kind: withDefault(text.decode, "Secret"),
  namespace: text,
  name: text,
});

/** Two references to one parent have to say which section or port each is for. */
export function validateParentReferences(parents: readonly ParentReference[], report: Report): void {
  for (const [index, parent] of parents.entries()) {
    const path = `spec.parentRefs[${index}]`;
    if (parent.name === "") report({ path: `${path}.name`, message: "the name of the parent is needed" });
    for (const earlier of parents.slice(0, index)) {
      const isSameParent =
        earlier.group === parent.group &&
        earlier.kind === parent.kind &&
        earlier.namespace === parent.namespace &&
        earlier.name === parent.name;
      if (!isSameParent) continue;
      if (earlier.sectionName === parent.sectionName && earlier.port === parent.port) {
        report({
          path,
          message: `${parent.name} is named twice`,
          fix: "give each reference a sectionName or a port of its own, or remove one",
        });
      } else if (isWhole(earlier) || isWhole(parent)) {
        report({ path, message: `each reference to ${parent.name} needs a sectionName or a port` });
      }
    }
  }
}

function isWhole(parent: ParentReference): boolean {
  return parent.sectionName === "" && parent.port === 0;
}

export function validateBackendReference(backend: BackendReference, path: string, report: Report): void {
  if (backend.name === "") report({ path: `${path}.name`, message: "the name of the backend is needed" });
  if (backend.group === "" && backend.kind === "Service") {
    if (backend.port === 0) report({ path, message: "a Service needs a port", fix: "port: a port of the Service" });
    if (backend.name.includes(".")) {
      report({
        path: `${path}.name`,
        message: `"${backend.name}" is not the name of a Service`,
        fix: "name and namespace",
      });
    }
  }
}

const hostname = /^(?:\*\.)?[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;

/** A DNS name in lower case, perhaps with the wildcard label `*.` in front; no addresses. */
export function validateGatewayHostname(name: string, path: string, report: Report): void {
  if (isIpAddress(name)) {
    report({ path, message: `${name} is an address; a hostname is a DNS name` });
  } else if (name.length > 253 || !hostname.test(name)) {
    const fix =
      name === "*" ? "leave it out: every name matches" : "a name in lower case, as shop.example.com or *.example.com";
    report({ path, message: `"${name}" is not a hostname`, fix });
  }
}

/** Names of rules and of listeners stand once. */
export function validateUniqueNames(items: readonly { readonly name: string }[], path: string, report: Report): void {
  const seen = new Set<string>();
  for (const [index, { name }] of items.entries()) {
    if (name !== "" && seen.has(name)) {
      report({ path: `${path}[${index}].name`, message: `the name ${name} stands twice` });
    }
    seen.add(name);
  }
}

/** The rules of TCPRoute and TLSRoute: at least one, each with a backend. */
export function validateConnectionRules(
  rules: readonly { readonly name: string; readonly backendRefs: readonly WeightedBackend[] }[],
  report: Report,
): void {
  validateUniqueNames(rules, "spec.rules", report);
  if (rules.length === 0) report({ path: "spec.rules", message: "a rule is needed" });
  for (const [index, { backendRefs }] of rules.entries()) {
    const path = `spec.rules[${index}].backendRefs`;
    if (backendRefs.length === 0) report({ path, message: "a backend is needed" });
    for (const [at, backend] of backendRefs.entries()) validateBackendReference(backend, `${path}[${at}]`, report);
  }
}
