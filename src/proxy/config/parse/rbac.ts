// envoy.config.rbac.v3.RBAC to predicates. Permissions of a policy are alternatives, so are its principals; a policy
// matches when one of each does, and its CEL condition too. A condition on HTTP is false on a TCP connection.
import {
  MetadataSource,
  type Permission,
  type Policy,
  type Principal,
  type RBAC,
  RBAC_Action,
} from "#wire/gen/envoy/config/rbac/v3/rbac_pb.ts";
import type { PolicyOrigin } from "#wire/xds/provenance.ts";
import { cidrSet } from "../cidr-set.ts";
import type { Problems } from "../problems.ts";
import type { LeftOutPolicy, PeerNames, PolicyIndex, RbacAction, RbacPolicy, RbacRules } from "../rbac.ts";
import { decodeCondition } from "./cel.ts";
import { decodeMetadataMatcher, decodeStringMatcher } from "./matcher.ts";
import {
  all,
  always,
  type Condition,
  condition,
  either,
  everyPredicate,
  not,
  type Position,
  parts,
} from "./rbac-condition.ts";
import { headerCondition, pathCondition, templateCondition } from "./rbac-http.ts";
import { decodeRange } from "./values.ts";

/** Null stays null: no rules, nothing is enforced. Policies are evaluated in the order of their names, as in Envoy. */
export function decodeRbac(
  rules: RBAC | undefined,
  policyOrigins: ReadonlyMap<string, PolicyOrigin>,
  path: string,
  problems: Problems,
): RbacRules | null {
  if (rules === undefined) return null;
  if (rules.auditLoggingOptions !== undefined) problems.leftOut(`${path}.audit_logging_options`, "audit logging");
  const action = decodeAction(rules.action, `${path}.action`, problems);
  const position: Position = { refuses: action === "deny", action };
  const decoded = Object.entries(rules.policies)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([name, policy]) => {
      const origin = policyOrigins.get(name) ?? null;
      return decodePolicy(name, policy, origin, { position, path: `${path}.policies["${name}"]`, problems });
    });
  const index = indexByName(decoded.map(({ names }) => names));
  const policies = decoded.map(({ policy }) => policy);
  const leftOut = action === "allow" ? policiesLeftOut(rules, policyOrigins) : [];
  return { action, policies, ...(index !== null && { index }), ...(leftOut.length > 0 && { leftOut }) };
}

function policiesLeftOut({ policies }: RBAC, origins: ReadonlyMap<string, PolicyOrigin>): LeftOutPolicy[] {
  return [...origins].flatMap(([name, origin]) =>
    origin.neverMatches === true && policies[name] === undefined ? [{ name, origin }] : [],
  );
}

function decodeAction(action: RBAC_Action, path: string, problems: Problems): RbacAction {
  if (action === RBAC_Action.ALLOW) return "allow";
  if (action === RBAC_Action.LOG) return "log";
  if (action !== RBAC_Action.DENY) problems.invalid(path, `${action} is not an action`);
  return "deny";
}

interface Place {
  readonly position: Position;
  readonly path: string;
  readonly problems: Problems;
}

function at(place: Place, step: string): Place {
  return { ...place, path: `${place.path}.${step}` };
}

/** Inside a negation a match has the opposite effect. */
function negated(place: Place, step: string): Place {
  const { refuses, action } = place.position;
  return { ...at(place, step), position: { refuses: !refuses, action } };
}

function decodePolicy(
  name: string,
  policy: Policy,
  origin: PolicyOrigin | null,
  place: Place,
): { policy: RbacPolicy; names: readonly string[] | null } {
  const { path, problems } = place;
  if (policy.permissions.length === 0) problems.invalid(`${path}.permissions`, "is empty");
  if (policy.principals.length === 0) problems.invalid(`${path}.principals`, "is empty");
  const permissions = policy.permissions.map((it, i) => decodePermission(it, at(place, `permissions[${i}]`)));
  const principals = policy.principals.map((it, i) => decodePrincipal(it, at(place, `principals[${i}]`)));
  const cel = decodeCondition(policy, path, problems);
  const who = either(principals);
  const conditions = [either(permissions), who].flatMap(parts).filter((it) => it !== always);
  if (cel !== null) conditions.push(condition(cel.description, cel.matches));
  return { policy: { name, matches: everyPredicate(conditions), conditions, origin }, names: who.names };
}

/** Below this many policies, looking a peer up costs more than asking them all. */
const minIndexed = 8;

function indexByName(names: readonly (readonly string[] | null)[]): PolicyIndex | null {
  if (names.filter((it) => it !== null).length < minIndexed) return null;
  const byName = new Map<string, number[]>();
  const general: number[] = [];
  names.forEach((own, position) => {
    if (own === null) general.push(position);
    for (const name of new Set(own)) {
      const positions = byName.get(name);
      if (positions === undefined) byName.set(name, [position]);
      else positions.push(position);
    }
  });
  return { byName, general };
}

function decodePermission(permission: Permission, place: Place): Condition {
  const { path, problems, position } = place;
  const rule = permission.rule;
  switch (rule.case) {
    case "any":
      return anything(rule.value, place);
    case "andRules":
    case "orRules": {
      const step = rule.case === "andRules" ? "and_rules" : "or_rules";
      const inner = rule.value.rules.map((it, i) => decodePermission(it, at(place, `${step}[${i}]`)));
      return combined(step, inner, place);
    }
    case "notRule":
      return not(decodePermission(rule.value, negated(place, "not_rule")));
    case "header":
      return headerCondition(rule.value, position, `${path}.header`, problems);
    case "urlPath":
      return pathCondition(rule.value, position, `${path}.url_path`, problems);
    case "uriTemplate":
      return templateCondition(rule.value.typedConfig, position, `${path}.uri_template`, problems);
    case "metadata":
      return metadataCondition(rule.value, MetadataSource.DYNAMIC, at(place, "metadata"));
    case "sourcedMetadata":
      return sourcedCondition(rule.value, at(place, "sourced_metadata"));
    case "destinationIp": {
      const set = cidrSet([decodeRange(rule.value, `${path}.destination_ip`, problems)]);
      return condition(`destination ip ${set.ranges[0]}`, (subject) => set.contains(subject.destinationIp));
    }
    case "destinationPort": {
      const port = rule.value;
      if (port > 65_535) problems.invalid(`${path}.destination_port`, `${port} is not a port`);
      return condition(`port ${port}`, (subject) => subject.destinationPort === port);
    }
    case "destinationPortRange": {
      const { start, end } = rule.value;
      if (start < 0 || end > 65_536 || start >= end) {
        problems.invalid(`${path}.destination_port_range`, `from ${start} to below ${end} is not a range of ports`);
      }
      return condition(
        `port from ${start} to below ${end}`,
        (subject) => subject.destinationPort >= start && subject.destinationPort < end,
      );
    }
    case "requestedServerName": {
      const test = decodeStringMatcher(rule.value, `${path}.requested_server_name`, problems);
      return condition(`SNI ${test.description}`, (subject) => test.matches(subject.requestedServerName));
    }
    case "matcher":
      problems.unsupported(`${path}.matcher`, `the permission ${rule.value.name}`);
      return always;
    case undefined:
      problems.invalid(path, "names no rule that this proxy knows");
      return always;
  }
}

function decodePrincipal(principal: Principal, place: Place): Condition {
  const { path, problems, position } = place;
  const identifier = principal.identifier;
  switch (identifier.case) {
    case "any":
      return anything(identifier.value, place);
    case "andIds":
    case "orIds": {
      const step = identifier.case === "andIds" ? "and_ids" : "or_ids";
      const inner = identifier.value.ids.map((it, i) => decodePrincipal(it, at(place, `${step}[${i}]`)));
      return combined(step, inner, place);
    }
    case "notId":
      return not(decodePrincipal(identifier.value, negated(place, "not_id")));
    case "authenticated": {
      const name = identifier.value.principalName;
      if (name === undefined) return condition("any authenticated peer", (subject) => subject.peer !== null);
      return nameCondition(name, `${path}.authenticated.principal_name`, problems);
    }
    case "sourceIp": {
      const set = cidrSet([decodeRange(identifier.value, path, problems)]);
      return condition(`source ip ${set.ranges[0]}`, (subject) => set.contains(subject.sourceIp));
    }
    case "directRemoteIp": {
      const set = cidrSet([decodeRange(identifier.value, path, problems)]);
      return condition(`source ip ${set.ranges[0]}`, (subject) => set.contains(subject.directRemoteIp));
    }
    case "remoteIp": {
      const set = cidrSet([decodeRange(identifier.value, path, problems)]);
      return condition(`remote ip ${set.ranges[0]}`, (subject) => set.contains(subject.remoteIp));
    }
    case "header":
      return headerCondition(identifier.value, position, `${path}.header`, problems);
    case "urlPath":
      return pathCondition(identifier.value, position, `${path}.url_path`, problems);
    case "metadata":
      return metadataCondition(identifier.value, MetadataSource.DYNAMIC, at(place, "metadata"));
    case "sourcedMetadata":
      return sourcedCondition(identifier.value, at(place, "sourced_metadata"));
    case "filterState":
      return peerFilterState(identifier.value, `${path}.filter_state`, problems);
    case undefined:
      problems.invalid(path, "names no identifier that this proxy knows");
      return always;
  }
}

function anything(value: boolean, { path, problems }: Place): Condition {
  if (!value) problems.invalid(`${path}.any`, "must be true");
  return always;
}

function combined(step: string, inner: readonly Condition[], { path, problems }: Place): Condition {
  if (inner.length === 0) problems.invalid(`${path}.${step}`, "is empty");
  return step.startsWith("and") ? all(inner) : either(inner);
}

type NameRule = NonNullable<Extract<Principal["identifier"], { case: "authenticated" }>["value"]["principalName"]>;
type MetadataRule = Extract<Permission["rule"], { case: "metadata" }>["value"];
type SourcedRule = Extract<Permission["rule"], { case: "sourcedMetadata" }>["value"];
type FilterStateRule = Extract<Principal["identifier"], { case: "filterState" }>["value"];

function nameCondition(rule: NameRule, path: string, problems: Problems): Condition {
  const test = decodeStringMatcher(rule, path, problems);
  const { matchPattern: pattern, ignoreCase } = rule;
  const names = pattern.case === "exact" && !ignoreCase && pattern.value !== "" ? [pattern.value] : null;
  return condition(`principal ${test.description}`, ({ peer }) => peer !== null && hasName(peer, test.matches), names);
}

/** URI names, then DNS names, then the subject, as Envoy asks them. */
function hasName(peer: PeerNames, matches: (name: string) => boolean): boolean {
  for (let i = 0; i < peer.uriSans.length; i++) if (matches(peer.uriSans[i] as string)) return true;
  for (let i = 0; i < peer.dnsSans.length; i++) if (matches(peer.dnsSans[i] as string)) return true;
  return matches(peer.subject);
}

/** Istio puts the identity of a TCP peer here when it does not come from the certificate. */
const peerPrincipalKey = "io.istio.peer_principal";

function peerFilterState(rule: FilterStateRule, path: string, problems: Problems): Condition {
  if (rule.key !== peerPrincipalKey || rule.matcher.case !== "stringMatch") {
    problems.unsupported(path, `filter state "${rule.key}"`);
    return always;
  }
  return nameCondition(rule.matcher.value, `${path}.string_match`, problems);
}

function sourcedCondition(rule: SourcedRule, place: Place): Condition {
  if (rule.metadataMatcher === undefined) {
    place.problems.invalid(`${place.path}.metadata_matcher`, "is missing");
    return always;
  }
  return metadataCondition(rule.metadataMatcher, rule.metadataSource, at(place, "metadata_matcher"));
}

function metadataCondition(rule: MetadataRule, source: MetadataSource, { path, problems }: Place): Condition {
  const test = decodeMetadataMatcher(rule, path, problems);
  if (source === MetadataSource.DYNAMIC) {
    return condition(
      test.description,
      (subject) => subject.metadata !== undefined && test.matches(subject.metadata(test.filter)),
    );
  }
  if (source !== MetadataSource.ROUTE) problems.invalid(path, `${source} is not a source of metadata`);
  return condition(
    `route ${test.description}`,
    (subject) => subject.routeMetadata !== undefined && test.matches(subject.routeMetadata(test.filter)),
  );
}
