// One rule of an AuthorizationPolicy as an Envoy RBAC policy: `to` and part of `when` become permissions, `from` and
// the rest of `when` become principals.
import { create } from "@bufbuild/protobuf";
import { type Permission, type Policy, PolicySchema, type Principal } from "#wire/gen/envoy/config/rbac/v3/rbac_pb.ts";
import type { AuthorizationRule, Operation, Source } from "../../../kinds/authorization-policy/spec.ts";
import { type Attribute, type Condition, compileConditions } from "./condition.ts";
import * as permission from "./permission.ts";
import * as principal from "./principal.ts";
import { expandTrustDomains } from "./trust-domain.ts";

export interface RuleSettings {
  /** Of the policy: service accounts without a namespace are its own. */
  readonly namespace: string;
  /** The mesh's trust domain, then its aliases. */
  readonly trustDomains: readonly string[];
  /** Build for TCP: HTTP attributes are not known there. */
  readonly tcp: boolean;
  /** A rule that cannot be compiled whole is dropped, so that it allows less; else it loses a condition. */
  readonly allow: boolean;
}

/** Compiles a rule; undefined when it must not match anything. */
export function rulePolicy(rule: AuthorizationRule, settings: RuleSettings): Policy | undefined {
  const when = whenConditions(rule, settings);
  if (when === undefined) return undefined;

  const permissions: Permission[] = [];
  for (const operation of rule.to.length === 0 ? [undefined] : rule.to.map((to) => to.operation)) {
    const matches = compileConditions([...operationConditions(operation), ...when.permissions], {
      tcp: settings.tcp,
      dropWhole: settings.allow,
      combine: permission.combinePermissions,
    });
    if (matches === undefined) return undefined;
    permissions.push(permission.allPermissions(matches.length === 0 ? [permission.anyPermission] : matches));
  }

  const principals: Principal[] = [];
  for (const source of rule.from.length === 0 ? [undefined] : rule.from.map((from) => from.source)) {
    const matches = compileConditions([...sourceConditions(source, settings), ...when.principals], {
      tcp: settings.tcp,
      dropWhole: settings.allow,
      combine: principal.combinePrincipals,
    });
    if (matches === undefined) return undefined;
    principals.push(principal.allPrincipals(matches.length === 0 ? [principal.anyPrincipal] : matches));
  }
  return create(PolicySchema, { permissions, principals });
}

/** A policy without rules is there and never matches: an allow policy of this kind denies everything. */
export const neverMatches: Policy = create(PolicySchema, {
  permissions: [permission.combinePermissions.not(permission.anyPermission)],
  principals: [principal.combinePrincipals.not(principal.anyPrincipal)],
});

/** What a rule asks of HTTP, in the words of its fields; nothing else of it counts for a connection without HTTP. */
export function httpOnlyFields(rule: AuthorizationRule, settings: RuleSettings): string[] {
  const when = whenConditions(rule, settings);
  const conditions = [
    ...rule.to.flatMap(({ operation }) => operationConditions(operation)),
    ...rule.from.flatMap(({ source }) => sourceConditions(source, settings)),
    ...(when?.permissions ?? []),
    ...(when?.principals ?? []),
  ];
  const names = conditions.flatMap(({ attribute, key, values, notValues }) => {
    if (!attribute.httpOnly) return [];
    const negated = `not${key.charAt(0).toUpperCase()}${key.slice(1)}`;
    const isKey = key.startsWith("request.");
    return [...(values.length > 0 ? [key] : []), ...(notValues.length > 0 ? [isKey ? key : negated] : [])];
  });
  return [...new Set(names)];
}

function operationConditions(operation: Operation | undefined): Condition<Permission>[] {
  if (operation === undefined) return [];
  return [
    condition("hosts", permission.host, operation.hosts, operation.notHosts),
    condition("methods", permission.method, operation.methods, operation.notMethods),
    condition("paths", permission.path, operation.paths, operation.notPaths),
    condition("ports", permission.destinationPort, operation.ports, operation.notPorts),
  ];
}

function sourceConditions(source: Source | undefined, settings: RuleSettings): Condition<Principal>[] {
  if (source === undefined) return [];
  const trusted = (values: readonly string[]): string[] => expandTrustDomains(values, settings.trustDomains);
  return [
    condition("principals", principal.sourcePrincipal, trusted(source.principals), trusted(source.notPrincipals)),
    condition("requestPrincipals", principal.requestPrincipal, source.requestPrincipals, source.notRequestPrincipals),
    condition(
      "serviceAccounts",
      principal.sourceServiceAccount(settings.namespace),
      source.serviceAccounts,
      source.notServiceAccounts,
    ),
    condition("namespaces", principal.sourceNamespace, source.namespaces, source.notNamespaces),
    condition("trustDomains", principal.sourceTrustDomain, source.trustDomains, source.notTrustDomains),
    condition("remoteIpBlocks", principal.remoteIp, source.remoteIpBlocks, source.notRemoteIpBlocks),
    condition("ipBlocks", principal.sourceIp, source.ipBlocks, source.notIpBlocks),
  ];
}

interface WhenConditions {
  readonly permissions: Condition<Permission>[];
  readonly principals: Condition<Principal>[];
}

/** An unknown key makes the whole rule void, as in Istio. */
function whenConditions(rule: AuthorizationRule, settings: RuleSettings): WhenConditions | undefined {
  const result: WhenConditions = { permissions: [], principals: [] };
  for (const { key, values, notValues } of rule.when) {
    const ofPermission = permissionAttribute(key);
    if (ofPermission !== undefined) {
      result.permissions.push({ attribute: ofPermission, key, values, notValues });
      continue;
    }
    const ofPrincipal = principalAttribute(key, settings.namespace);
    if (ofPrincipal === undefined) return undefined;
    const trusted = (list: readonly string[]): readonly string[] =>
      ofPrincipal === principal.sourcePrincipal ? expandTrustDomains(list, settings.trustDomains) : list;
    result.principals.push({ attribute: ofPrincipal, key, values: trusted(values), notValues: trusted(notValues) });
  }
  return result;
}

function permissionAttribute(key: string): Attribute<Permission> | undefined {
  switch (key) {
    case "destination.ip":
      return permission.destinationIp;
    case "destination.port":
      return permission.destinationPort;
    case "connection.sni":
      return permission.serverName;
    default:
      return key.startsWith("experimental.envoy.filters.") ? permission.envoyMetadata : undefined;
  }
}

function principalAttribute(key: string, namespace: string): Attribute<Principal> | undefined {
  switch (key) {
    case "source.ip":
      return principal.sourceIp;
    case "remote.ip":
      return principal.remoteIp;
    case "source.namespace":
      return principal.sourceNamespace;
    case "source.serviceAccount":
      return principal.sourceServiceAccount(namespace);
    case "source.trustDomain":
      return principal.sourceTrustDomain;
    case "source.principal":
      return principal.sourcePrincipal;
    case "request.auth.principal":
      return principal.requestPrincipal;
    case "request.auth.audiences":
      return principal.requestAudiences;
    case "request.auth.presenter":
      return principal.requestPresenter;
    default:
      if (key.startsWith("request.headers")) return principal.requestHeader;
      return key.startsWith("request.auth.claims") ? principal.requestClaims : undefined;
  }
}

function condition<Match>(
  key: string,
  attribute: Attribute<Match>,
  values: readonly string[],
  notValues: readonly string[],
): Condition<Match> {
  return { attribute, key, values, notValues };
}
