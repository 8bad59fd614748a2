// envoy.config.rbac.v3.RBAC to predicates. Permissions of a policy are alternatives, so are its principals; a policy
// matches when one of each does. A condition on HTTP is false on a TCP connection.
import type { Origin } from "#base/issue.ts";
import {
  type Permission,
  type Policy,
  type Principal,
  type RBAC,
  RBAC_Action,
} from "#wire/gen/envoy/config/rbac/v3/rbac_pb.ts";
import type { PathMatcher } from "#wire/gen/envoy/type/matcher/v3/path_pb.ts";
import { pathWithoutQuery, withoutPathParameters, withoutPort } from "../../decide/route.ts";
import { cidrSet } from "../cidr-set.ts";
import type { Problems } from "../problems.ts";
import type { RbacPolicy, RbacPredicate, RbacRules } from "../rbac.ts";
import { decodeHeaderMatcher, decodeMetadataMatcher, decodeStringMatcher } from "./matcher.ts";
import { decodeUriTemplate } from "./uri-template.ts";
import { decodeRange } from "./values.ts";

interface Condition {
  readonly description: string;
  readonly matches: RbacPredicate;
}

/** Null stays null: no rules, nothing is enforced. Policies are evaluated in the order of their names, as in Envoy. */
export function decodeRbac(
  rules: RBAC | undefined,
  policyOrigins: ReadonlyMap<string, Origin>,
  path: string,
  problems: Problems,
): RbacRules | null {
  if (rules === undefined) return null;
  const action = decodeAction(rules.action, `${path}.action`, problems);
  const policies = Object.entries(rules.policies)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([name, policy]) => {
      const place: Place = { doubt: action !== "allow", path: `${path}.policies["${name}"]`, problems };
      return decodePolicy(name, policy, policyOrigins.get(name) ?? null, place);
    });
  return { action, policies };
}

/**
 * What a request says can be read in more than one way: a header in several lines, a path with parameters. `doubt` is
 * what a condition on it is when the readings differ: true where a match refuses, false where it lets in. A negation
 * turns it around.
 */
interface Place {
  readonly doubt: boolean;
  readonly path: string;
  readonly problems: Problems;
}

function within(place: Place, field: string): Place {
  return { ...place, path: `${place.path}.${field}` };
}

function negated(place: Place, field: string): Place {
  return { ...within(place, field), doubt: !place.doubt };
}

function decodeAction(action: RBAC_Action, path: string, problems: Problems): RbacRules["action"] {
  if (action === RBAC_Action.ALLOW) return "allow";
  if (action === RBAC_Action.LOG) return "log";
  if (action !== RBAC_Action.DENY) problems.invalid(path, `${action} is not an action`);
  return "deny";
}

function decodePolicy(name: string, policy: Policy, origin: Origin | null, place: Place): RbacPolicy {
  const { path, problems } = place;
  if (policy.condition !== undefined || policy.checkedCondition !== undefined) {
    problems.unsupported(`${path}.condition`, "a CEL condition");
  }
  if (policy.permissions.length === 0) problems.invalid(`${path}.permissions`, "is empty");
  if (policy.principals.length === 0) problems.invalid(`${path}.principals`, "is empty");
  const permissions = policy.permissions.map((it, i) => decodePermission(it, within(place, `permissions[${i}]`)));
  const principals = policy.principals.map((it, i) => decodePrincipal(it, within(place, `principals[${i}]`)));
  const conditions = [...asList(permissions), ...asList(principals)].filter((it) => it !== always);
  return { name, matches: every(conditions), conditions, origin };
}

// Alternatives are one condition; a single alternative that is a conjunction falls into its parts.
function asList(alternatives: readonly Node[]): readonly Condition[] {
  const [only, ...more] = alternatives;
  if (only !== undefined && more.length === 0) return only.parts;
  return [either(alternatives)];
}

/** A condition and, where it is a conjunction, its parts. */
interface Node extends Condition {
  readonly parts: readonly Condition[];
}

const always: Node = node("anything", () => true);

function node(description: string, matches: RbacPredicate, parts?: readonly Condition[]): Node {
  const self: Node = { description, matches, parts: parts ?? [] };
  return parts === undefined ? Object.assign(self, { parts: [self] }) : self;
}

function every(conditions: readonly Condition[]): RbacPredicate {
  const tests = conditions.map((condition) => condition.matches);
  const [first, second] = tests;
  if (first === undefined) return () => true;
  if (second === undefined) return first;
  return (subject) => {
    for (let i = 0; i < tests.length; i++) if (!(tests[i] as RbacPredicate)(subject)) return false;
    return true;
  };
}

function all(nodes: readonly Node[]): Node {
  const parts = nodes.flatMap((it) => it.parts).filter((it) => it !== always);
  if (parts.length === 0) return always;
  return node(parts.map((it) => it.description).join(" and "), every(parts), parts);
}

function either(nodes: readonly Node[]): Node {
  if (nodes.length === 1) return nodes[0] as Node;
  if (nodes.includes(always)) return always;
  const tests = nodes.map((it) => it.matches);
  return node(`(${nodes.map((it) => it.description).join(" or ")})`, (subject) => {
    for (let i = 0; i < tests.length; i++) if ((tests[i] as RbacPredicate)(subject)) return true;
    return false;
  });
}

function not(inner: Node): Node {
  return node(`not ${inner.description}`, (subject) => !inner.matches(subject));
}

function decodePermission(permission: Permission, place: Place): Node {
  const { path, problems } = place;
  const rule = permission.rule;
  switch (rule.case) {
    case "any":
      return always;
    case "andRules":
      return all(rule.value.rules.map((it, i) => decodePermission(it, within(place, `and_rules[${i}]`))));
    case "orRules":
      return either(rule.value.rules.map((it, i) => decodePermission(it, within(place, `or_rules[${i}]`))));
    case "notRule":
      return not(decodePermission(rule.value, negated(place, "not_rule")));
    case "header":
      return headerCondition(rule.value, within(place, "header"));
    case "urlPath":
      return pathCondition(rule.value, within(place, "url_path"));
    case "metadata":
      return metadataCondition(rule.value, `${path}.metadata`, problems);
    case "destinationIp": {
      const set = cidrSet([decodeRange(rule.value, `${path}.destination_ip`, problems)]);
      return node(`destination ip ${set.ranges[0]}`, (subject) => set.contains(subject.destinationIp));
    }
    case "destinationPort": {
      const port = rule.value;
      return node(`port ${port}`, (subject) => subject.destinationPort === port);
    }
    case "destinationPortRange": {
      const { start, end } = rule.value;
      return node(
        `port from ${start} to below ${end}`,
        (subject) => subject.destinationPort >= start && subject.destinationPort < end,
      );
    }
    case "requestedServerName": {
      const test = decodeStringMatcher(rule.value, `${path}.requested_server_name`, problems);
      return node(`SNI ${test.description}`, (subject) => test.matches(subject.requestedServerName));
    }
    case "uriTemplate": {
      const test = decodeUriTemplate(rule.value.typedConfig, `${path}.uri_template`, problems);
      if (test === null) return always;
      return node(
        `path ${test.description}`,
        onPath((value) => test.matches(value), place.doubt),
      );
    }
    case "matcher":
      problems.unsupported(path, "a permission by extension");
      return always;
    case undefined:
      problems.invalid(path, "names no rule");
      return always;
  }
}

function decodePrincipal(principal: Principal, place: Place): Node {
  const { path, problems } = place;
  const identifier = principal.identifier;
  switch (identifier.case) {
    case "any":
      return always;
    case "andIds":
      return all(identifier.value.ids.map((it, i) => decodePrincipal(it, within(place, `and_ids[${i}]`))));
    case "orIds":
      return either(identifier.value.ids.map((it, i) => decodePrincipal(it, within(place, `or_ids[${i}]`))));
    case "notId":
      return not(decodePrincipal(identifier.value, negated(place, "not_id")));
    case "authenticated": {
      const name = identifier.value.principalName;
      if (name === undefined) return node("any authenticated peer", (subject) => subject.peerId !== undefined);
      const test = decodeStringMatcher(name, `${path}.authenticated.principal_name`, problems);
      return node(
        `principal ${test.description}`,
        (subject) => subject.peerId !== undefined && test.matches(subject.peerId),
      );
    }
    case "sourceIp":
    case "directRemoteIp": {
      const set = cidrSet([decodeRange(identifier.value, path, problems)]);
      return node(`source ip ${set.ranges[0]}`, (subject) => set.contains(subject.directRemoteIp));
    }
    case "remoteIp": {
      const set = cidrSet([decodeRange(identifier.value, path, problems)]);
      return node(`remote ip ${set.ranges[0]}`, (subject) => set.contains(subject.remoteIp));
    }
    case "header":
      return headerCondition(identifier.value, within(place, "header"));
    case "urlPath":
      return pathCondition(identifier.value, within(place, "url_path"));
    case "metadata":
      return metadataCondition(identifier.value, `${path}.metadata`, problems);
    case "filterState":
      return peerFilterState(identifier.value, `${path}.filter_state`, problems);
    case undefined:
      problems.invalid(path, "names no identifier");
      return always;
  }
}

type HeaderRule = Extract<Permission["rule"], { case: "header" }>["value"];
type MetadataRule = Extract<Permission["rule"], { case: "metadata" }>["value"];
type FilterStateRule = Extract<Principal["identifier"], { case: "filterState" }>["value"];

/** Istio puts the identity of a TCP peer here when it does not come from the certificate. */
const peerPrincipalKey = "io.istio.peer_principal";

function peerFilterState(rule: FilterStateRule, path: string, problems: Problems): Node {
  if (rule.key !== peerPrincipalKey || rule.matcher.case !== "stringMatch") {
    problems.unsupported(path, `filter state "${rule.key}"`);
    return always;
  }
  const test = decodeStringMatcher(rule.matcher.value, `${path}.string_match`, problems);
  return node(
    `principal ${test.description}`,
    (subject) => subject.peerId !== undefined && test.matches(subject.peerId),
  );
}

function headerCondition(rule: HeaderRule, { doubt, path, problems }: Place): Node {
  const test = decodeHeaderMatcher(rule, path, problems);
  const { name, matches } = test;
  const isAuthority = name === ":authority" || name === "host";
  // Called on the subject: the live one reads its own stream.
  return node(describeHeader(test.description), (subject) => {
    if (subject.header === undefined) return false;
    const value = subject.header(name);
    const matched = matches(value);
    if (isAuthority && doubt && !matched && value !== undefined) return hostSpellings(value).some(matches);
    if (matched === doubt || value === undefined || !value.includes(",")) return matched;
    // Several lines: the application may look at the first, the last or all of them.
    if (!doubt && !rule.invertMatch) return matched;
    const lines = subject.headerLines?.(name) ?? [];
    for (let i = 0; i < lines.length; i++) if (matches(lines[i] as string) === doubt) return doubt;
    return matched;
  });
}

/** Ways to write the same host: its case means nothing, and the port is that of the connection. */
function hostSpellings(authority: string): readonly string[] {
  const lower = authority.toLowerCase();
  return [lower, withoutPort(authority), withoutPort(lower)];
}

/** `:method exact "GET"` reads better without "header". */
function describeHeader(description: string): string {
  return description.startsWith("header :") ? description.slice("header :".length) : description;
}

function pathCondition(rule: PathMatcher, { doubt, path, problems }: Place): Node {
  const test = decodeStringMatcher(rule.rule.value, `${path}.path`, problems);
  return node(`path ${test.description}`, onPath(test.matches, doubt));
}

/** Some servers take `/admin;x` for `/admin`, others do not. */
function onPath(matches: (path: string) => boolean, doubt: boolean): RbacPredicate {
  return (subject) => {
    if (subject.path === undefined) return false;
    const value = pathWithoutQuery(subject.path);
    if (matches(value)) return true;
    return doubt && value.includes(";") && matches(withoutPathParameters(value));
  };
}

function metadataCondition(rule: MetadataRule, path: string, problems: Problems): Node {
  const test = decodeMetadataMatcher(rule, path, problems);
  return node(
    test.description,
    (subject) => subject.metadata !== undefined && test.matches(subject.metadata(test.filter)),
  );
}
