// Reads an AuthorizationPolicy.
import { decodeSpec, list, oneOf, optional, record, strings, text, withDefault } from "../../objects/decode.ts";
import { policyTarget } from "../../objects/fields/policy-target.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import type { Report } from "../../objects/report.ts";
import {
  AuthorizationAction,
  type AuthorizationPolicySpec,
  type AuthorizationRule,
  type Condition,
  type Operation,
  type Source,
} from "./spec.ts";

const source = record<Source>({
  principals: strings,
  notPrincipals: strings,
  requestPrincipals: strings,
  notRequestPrincipals: strings,
  namespaces: strings,
  notNamespaces: strings,
  serviceAccounts: strings,
  notServiceAccounts: strings,
  ipBlocks: strings,
  notIpBlocks: strings,
  remoteIpBlocks: strings,
  notRemoteIpBlocks: strings,
  trustDomains: strings,
  notTrustDomains: strings,
});

const operation = record<Operation>({
  hosts: strings,
  notHosts: strings,
  ports: strings,
  notPorts: strings,
  methods: strings,
  notMethods: strings,
  paths: strings,
  notPaths: strings,
});

const rule = record<AuthorizationRule>({
  from: list(record<AuthorizationRule["from"][number]>({ source: optional(source) }), 512),
  to: list(record<AuthorizationRule["to"][number]>({ operation: optional(operation) })),
  when: list(record<Condition>({ key: text, values: strings, notValues: strings })),
});

const spec = record<AuthorizationPolicySpec>({
  ...policyTarget,
  rules: list(rule, 512),
  action: withDefault(oneOf(Object.values(AuthorizationAction)), AuthorizationAction.Allow),
  provider: optional(record<NonNullable<AuthorizationPolicySpec["provider"]>>({ name: text })),
});

export function decodeAuthorizationPolicy(
  object: KubernetesObject,
  report: Report,
): AuthorizationPolicySpec | undefined {
  return decodeSpec(object, spec, report);
}
