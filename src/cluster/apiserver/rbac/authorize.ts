// Refuses what no role allows, in the words that Kubernetes uses.

import { apiError } from "../../store/errors.ts";
import type { ObjectStore } from "../../store/store.ts";
import type { UserInfo } from "../../tokens/token-authority.ts";
import { anonymous } from "../authenticate.ts";
import type { ResourcePath } from "../request-path.ts";
import { mayAccess } from "./rules.ts";

/** Throws UNAUTHORIZED or FORBIDDEN unless the user may do this with the resource at the path. */
export function authorize(store: ObjectStore, user: UserInfo, verb: string, path: ResourcePath, name: string): void {
  if (user === anonymous) throw apiError("UNAUTHORIZED", "Unauthorized");
  const { group, plural } = path.resource;
  const resource = path.subresource === "" ? plural : `${plural}/${path.subresource}`;
  // A namespace is in itself, so that roles within it can allow to read it.
  const namespace = group === "" && plural === "namespaces" ? path.name : path.namespace;
  if (mayAccess(store, user, { verb, group, resource, namespace, name })) return;
  const where = path.namespace === "" ? "at the cluster scope" : `in the namespace "${path.namespace}"`;
  const what = `${resource}${group === "" ? "" : `.${group}`}${path.name === "" ? "" : ` "${path.name}"`}`;
  throw apiError(
    "FORBIDDEN",
    `${what} is forbidden: User "${user.username}" cannot ${verb} resource "${resource}" in API group "${group}" ${where}`,
  );
}
