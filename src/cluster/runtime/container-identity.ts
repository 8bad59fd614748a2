// Under which user, groups and capabilities a container runs: the arguments of `setpriv`.

import type { ImageCommand } from "../images.ts";
import type { ContainerSpec, PodSecurityContext } from "./pod-spec.ts";
import { WaitingError } from "./waiting-error.ts";

export interface ContainerIdentity {
  readonly user: number;
  readonly group: number;
  readonly groups: readonly number[];
  /** Lower case without `cap_`. */
  readonly bounding: readonly string[];
  /** Also in force for a user that is not root. */
  readonly ambient: readonly string[];
}

/** The user of a container when neither pod nor image names one. */
const defaultUser = 1000;

/** What root in a container may do without asking, less than Docker's: nothing that leads out of it. */
const defaultCapabilities: readonly string[] = [
  "chown",
  "dac_override",
  "fowner",
  "fsetid",
  "kill",
  "setgid",
  "setuid",
  "net_bind_service",
  "audit_write",
];

/** What may be asked for: capabilities whose reach ends at the pod's own network namespace and processes. */
const grantable = new Set([...defaultCapabilities, "net_admin", "net_raw", "setpcap", "sys_nice", "ipc_lock"]);

/** Throws a WaitingError for what cannot be granted. */
export function containerIdentity(
  container: ContainerSpec,
  podContext: PodSecurityContext | undefined,
  image: Pick<ImageCommand, "user">,
): ContainerIdentity {
  const context = container.securityContext;
  const user = context?.runAsUser ?? podContext?.runAsUser ?? image.user ?? defaultUser;
  const group = context?.runAsGroup ?? podContext?.runAsGroup ?? user;
  if (user === 0 && (context?.runAsNonRoot ?? podContext?.runAsNonRoot) === true) {
    throw new WaitingError(
      "CreateContainerConfigError",
      `container ${container.name} must not run as root, but its user is 0`,
    );
  }
  const fsGroup = podContext?.fsGroup;
  const groups = [...(podContext?.supplementalGroups ?? []), ...(fsGroup === undefined ? [] : [fsGroup])];
  const add = (context?.capabilities?.add ?? []).map(capabilityName);
  const drop = (context?.capabilities?.drop ?? []).map(capabilityName);
  const refused = add.find((name) => name !== "all" && !grantable.has(name));
  if (refused !== undefined) {
    const message = `container ${container.name}: capability ${refused.toUpperCase()} is not granted on this node`;
    throw new WaitingError("CreateContainerConfigError", message);
  }
  const asked = add.includes("all") ? [...grantable] : add;
  const kept = drop.includes("all") ? [] : defaultCapabilities.filter((name) => !drop.includes(name));
  const bounding = [...new Set([...kept, ...asked])];
  return { user, group, groups, bounding, ambient: user === 0 ? [] : asked };
}

function capabilityName(name: string): string {
  return name.toLowerCase().replace(/^cap_/, "");
}

export function setprivArguments(identity: ContainerIdentity): string[] {
  const { user, group, groups, bounding, ambient } = identity;
  const set = (names: readonly string[]): string => ["-all", ...names.map((name) => `+${name}`)].join(",");
  return [
    `--reuid=${user}`,
    `--regid=${group}`,
    groups.length === 0 ? "--clear-groups" : `--groups=${groups.join(",")}`,
    `--bounding-set=${set(bounding)}`,
    `--inh-caps=${set(ambient)}`,
    ...(ambient.length === 0 ? [] : [`--ambient-caps=${set(ambient)}`]),
    "--no-new-privs",
  ];
}
