// Nobody may hand out more than they have: writing a role or a binding needs every permission in it, or the verbs
// `escalate` and `bind`.

import type { CatalogEntry } from "#mesh/catalog.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { apiError } from "../../store/errors.ts";
import { asArray, asRecord, type JsonRecord } from "../../store/json.ts";
import type { ObjectStore } from "../../store/store.ts";
import type { UserInfo } from "../../tokens/token-authority.ts";
import { allows, isAdmin, mayAccess, roleRules, rulesOf } from "./rules.ts";

/** Throws FORBIDDEN when the object would give what the user does not have. */
export function checkEscalation(
  store: ObjectStore,
  user: UserInfo,
  entry: CatalogEntry,
  object: KubernetesObject,
): void {
  if (entry.group !== "rbac.authorization.k8s.io" || isAdmin(user)) return;
  const namespace = object.metadata.namespace ?? "";
  const isBinding = entry.plural.endsWith("bindings");
  const { kind, name } = asRecord(object["roleRef"]);
  const target = isBinding ? (kind === "Role" ? "roles" : "clusterroles") : entry.plural;
  const verb = isBinding ? "bind" : "escalate";
  const role = isBinding ? String(name) : object.metadata.name;
  if (mayAccess(store, user, { verb, group: entry.group, resource: target, namespace, name: role })) return;
  const wanted = isBinding ? roleRules(store, object, namespace) : asArray(object["rules"]).map(asRecord);
  const held = rulesOf(store, user, namespace);
  const lacking = wanted.find((rule) => !covers(held, rule));
  const isAggregate = object["aggregationRule"] !== undefined;
  if (lacking === undefined && !isAggregate) return;
  throw apiError(
    "FORBIDDEN",
    `user "${user.username}" is attempting to grant RBAC permissions not currently held: ${JSON.stringify(lacking ?? {})}`,
  );
}

function covers(held: readonly JsonRecord[], rule: JsonRecord): boolean {
  const urls = asArray(rule["nonResourceURLs"]);
  const names = asArray(rule["resourceNames"]);
  return asArray(rule["verbs"]).every(
    (verb) =>
      urls.every((url) => held.some((own) => asArray(own["nonResourceURLs"]).includes(url) && hasVerb(own, verb))) &&
      asArray(rule["apiGroups"]).every((group) =>
        asArray(rule["resources"]).every((resource) =>
          (names.length === 0 ? [""] : names).every((name) => {
            const request = {
              verb: String(verb),
              group: String(group),
              resource: String(resource),
              namespace: "",
              name: String(name),
            };
            return held.some((own) => allows(own, request));
          }),
        ),
      ),
  );
}

function hasVerb(rule: JsonRecord, verb: unknown): boolean {
  const verbs = asArray(rule["verbs"]);
  return verbs.includes("*") || verbs.includes(verb);
}
