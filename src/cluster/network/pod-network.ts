// One pod's network namespace: a veth pair to the node's bridge, one /32 address, everything routed through the node.
// The namespace is held by a file, so that it outlives each of the pod's processes.

import { rmSync } from "node:fs";
import { bridgeName, nodeAddress } from "./addresses.ts";
import { namespaceFolder } from "./node-network.ts";
import { runCommand } from "./run-command.ts";

export interface PodNetwork {
  readonly address: string;
  /** The namespace as a file, for `nsenter --net=`. */
  readonly namespaceFile: string;
  remove(): Promise<void>;
}

export interface PodNetworkOptions {
  /** Unique on the node, at most 8 characters: names the link. */
  readonly id: string;
  readonly address: string;
  /** `net.*` only; they belong to the namespace. */
  readonly sysctls?: Readonly<Record<string, string>>;
}

/** As container runtimes do by default, so that a container may listen on port 80 under any user. */
const defaultSysctls: Readonly<Record<string, string>> = {
  "net.ipv4.ip_unprivileged_port_start": "0",
  "net.ipv4.ping_group_range": "0 65535",
};

export async function createPodNetwork(options: PodNetworkOptions): Promise<PodNetwork> {
  const { id, address } = options;
  const namespaceFile = `${namespaceFolder}/${id}`;
  const link = `veth${id}`;
  const batch = [
    "link set lo up",
    `link add eth0 type veth peer name ${link} netns ${namespaceFolder}/node`,
    "link set eth0 addrgenmode none up",
    `addr add ${address}/32 dev eth0`,
    `route add ${nodeAddress} dev eth0 scope link`,
    `route add default via ${nodeAddress} dev eth0 src ${address}`,
  ].join("\n");
  const sysctls = { ...defaultSysctls, ...options.sysctls };
  // The names were checked to be of dotted words, the values are passed as arguments: nothing here is read as shell.
  const script = `: > "$1" && exec unshare --net="$1" sh -c '${podScript}' sh "$@"`;
  const values = Object.entries(sysctls).flatMap(([name, value]) => [name.replaceAll(".", "/"), value]);
  await runCommand("sh", ["-c", script, "sh", namespaceFile, ...values], { input: batch });
  await runCommand("ip", ["link", "set", link, "master", bridgeName, "up"]);
  return { address, namespaceFile, remove: () => removeNamespace(namespaceFile, link) };
}

const podScript = 'shift; while [ $# -gt 1 ]; do echo "$2" > "/proc/sys/$1" || exit 1; shift 2; done; exec ip -batch -';

const sysctlName = /^net(\.[a-z0-9_-]+)+$/;

/** What is wrong with a pod's sysctls, or undefined. */
export function checkSysctls(sysctls: Readonly<Record<string, string>>): string | undefined {
  const bad = Object.keys(sysctls).find((name) => !sysctlName.test(name));
  return bad === undefined ? undefined : `sysctl ${bad} is not allowed: only net.* belong to a pod`;
}

async function removeNamespace(namespaceFile: string, link: string): Promise<void> {
  // Deleting one end of the pair ends both at once; the kernel would do so, but only some time after the namespace.
  await Promise.allSettled([runCommand("ip", ["link", "delete", link]), runCommand("umount", ["-l", namespaceFile])]);
  rmSync(namespaceFile, { force: true });
}
