// Role-based access control: which rules the Role, ClusterRole and binding objects of the store give to a user, and
// whether they allow a request (rbac.authorization.k8s.io/v1).

import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { readSelector } from "../../admission/validate/selector.ts";
import { asArray, asRecord, fieldAt, type JsonRecord } from "../../store/json.ts";
import { clusterRoleBindings, clusterRoles, roleBindings, roles } from "../../store/resources.ts";
import { labelsOf, matchesLabelSelector } from "../../store/selector.ts";
import type { ObjectStore } from "../../store/store.ts";
import type { UserInfo } from "../../tokens/token-authority.ts";

export interface ResourceRequest {
  readonly verb: string;
  readonly group: string;
  /** With its subresource: `pods`, `pods/log`. */
  readonly resource: string;
  /** "" for cluster-scoped resources and for all namespaces. */
  readonly namespace: string;
  readonly name: string;
}

/** What everyone may do: ask what they may do, and who they are. */
const basicRules: readonly JsonRecord[] = [
  {
    verbs: ["create"],
    apiGroups: ["authorization.k8s.io"],
    resources: ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
  },
  { verbs: ["create"], apiGroups: ["authentication.k8s.io"], resources: ["selfsubjectreviews"] },
];

export function isAdmin(user: UserInfo): boolean {
  return user.groups.includes("system:masters");
}

export function mayAccess(store: ObjectStore, user: UserInfo, request: ResourceRequest): boolean {
  if (isAdmin(user)) return true;
  return rulesOf(store, user, request.namespace).some((rule) => allows(rule, request));
}

/** Whether the rules of cluster-wide roles name the path of something that is no resource. */
export function mayVisit(store: ObjectStore, user: UserInfo, verb: string, path: string): boolean {
  if (isAdmin(user)) return true;
  return rulesOf(store, user, "").some(
    (rule) =>
      includesOrAny(rule["verbs"], verb) &&
      asArray(rule["nonResourceURLs"])
        .map(String)
        .some((pattern) => (pattern.endsWith("*") ? path.startsWith(pattern.slice(0, -1)) : path === pattern)),
  );
}

/** All rules that apply to the user in the namespace; "" gives those that apply everywhere. */
export function rulesOf(store: ObjectStore, user: UserInfo, namespace: string): readonly JsonRecord[] {
  const rules = [...basicRules];
  for (const binding of store.list(clusterRoleBindings).items) {
    if (isSubject(binding, user)) rules.push(...roleRules(store, binding, ""));
  }
  if (namespace === "") return rules;
  for (const binding of store.list(roleBindings, { namespace }).items) {
    if (isSubject(binding, user)) rules.push(...roleRules(store, binding, namespace));
  }
  return rules;
}

/** The rules of the role that a binding names. */
export function roleRules(store: ObjectStore, binding: JsonRecord, namespace: string): readonly JsonRecord[] {
  const { kind, name } = asRecord(binding["roleRef"]);
  if (kind === "Role") {
    return namespace === "" ? [] : asArray(store.get(roles, namespace, String(name))?.["rules"]).map(asRecord);
  }
  const role = store.get(clusterRoles, "", String(name));
  return role === undefined ? [] : clusterRoleRules(store, role);
}

export function allows(rule: JsonRecord, request: ResourceRequest): boolean {
  return (
    includesOrAny(rule["verbs"], request.verb) &&
    includesOrAny(rule["apiGroups"], request.group) &&
    asArray(rule["resources"]).some((resource) => matchesResource(String(resource), request.resource)) &&
    matchesName(rule["resourceNames"], request.name)
  );
}

function clusterRoleRules(store: ObjectStore, role: KubernetesObject): readonly JsonRecord[] {
  const selectors = asArray(fieldAt(role, "aggregationRule", "clusterRoleSelectors"));
  if (selectors.length === 0) return asArray(role["rules"]).map(asRecord);
  return store
    .list(clusterRoles)
    .items.filter((other) => other["aggregationRule"] === undefined)
    .filter((other) => selectors.some((selector) => matchesLabelSelector(readSelector(selector), labelsOf(other))))
    .flatMap((other) => asArray(other["rules"]).map(asRecord));
}

function isSubject(binding: KubernetesObject, user: UserInfo): boolean {
  return asArray(binding["subjects"]).some((item) => {
    const { kind, name, namespace } = asRecord(item);
    if (kind === "User") return name === user.username;
    if (kind === "Group") return user.groups.includes(String(name));
    if (kind !== "ServiceAccount") return false;
    const account = `system:serviceaccount:${String(namespace ?? binding.metadata.namespace)}:${String(name)}`;
    return user.username === account;
  });
}

function includesOrAny(list: unknown, value: string): boolean {
  return asArray(list).some((item) => item === "*" || item === value);
}

function matchesResource(pattern: string, resource: string): boolean {
  if (pattern === "*" || pattern === resource) return true;
  const slash = resource.indexOf("/");
  return slash !== -1 && pattern === `*${resource.slice(slash)}`;
}

function matchesName(names: unknown, name: string): boolean {
  const list = asArray(names);
  return list.length === 0 || list.includes(name);
}
