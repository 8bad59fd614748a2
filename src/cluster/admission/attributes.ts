// What admission knows of a request.

import type { CatalogEntry } from "#mesh/catalog.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { UserInfo } from "../tokens/token-authority.ts";

type Operation = "CREATE" | "UPDATE" | "DELETE";

/** Who writes, and how. */
export interface WriteContext {
  readonly user: UserInfo;
  /** Admit, but store nothing. */
  readonly dryRun?: boolean;
  /** The version that the request used; default the storage version. */
  readonly version?: string;
  /** `status`, `approval`, `scale`; absent for the object itself. */
  readonly subresource?: string;
  /** An update is only made to this resource version. Without, it is repeated on whatever is there. */
  readonly ifVersion?: string;
  /** Receives the warnings that webhooks give. */
  readonly onWarning?: (warning: string) => void;
}

export interface Attributes extends WriteContext {
  readonly operation: Operation;
  readonly entry: CatalogEntry;
  readonly namespace: string;
  readonly name: string;
  /** Absent on DELETE. */
  readonly object?: KubernetesObject;
  /** Absent on CREATE. */
  readonly oldObject?: KubernetesObject;
}

/** Subresources that write the object's status and nothing else. */
export function isStatusSubresource(subresource: string | undefined): boolean {
  return subresource === "status" || subresource === "approval";
}

/** The user under which a part of the cluster itself writes, as `system:kube-controller-manager`. */
export function systemUser(name: string): UserInfo {
  return { username: `system:${name}`, uid: "", groups: ["system:masters", "system:authenticated"], extra: {} };
}
