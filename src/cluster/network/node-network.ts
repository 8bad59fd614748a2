// The node's side of the pod network: forwarding, the bridge, and the namespace of the node as a file that pods'
// veth pairs can be put into. Runs once, in the sandbox's network namespace.

import { mkdirSync, writeFileSync } from "node:fs";
import { bridgeName, nodeAddress, serviceNetwork } from "./addresses.ts";
import { runCommand } from "./run-command.ts";

/** Folder of the namespace files: `node` and one per pod. */
export const namespaceFolder = "/run/netns";

const sysctls: Readonly<Record<string, string>> = {
  "net/ipv4/ip_forward": "1",
  "net/ipv4/conf/all/rp_filter": "0",
  "net/ipv4/conf/default/rp_filter": "0",
  "net/ipv4/conf/all/send_redirects": "0",
  "net/ipv4/conf/default/send_redirects": "0",
  "net/ipv4/conf/all/accept_redirects": "0",
  // Links of pods need no link-local address on the node's side.
  "net/ipv6/conf/default/addr_gen_mode": "1",
};

export async function startNodeNetwork(): Promise<void> {
  for (const [name, value] of Object.entries(sysctls)) setSysctl(name, value);
  mkdirSync(namespaceFolder, { recursive: true });
  writeFileSync(`${namespaceFolder}/node`, "");
  const batch = [
    "link set lo up",
    `link add ${bridgeName} address 02:00:0a:f4:00:01 type bridge forward_delay 0 stp_state 0`,
    `link set ${bridgeName} up`,
    `addr add ${nodeAddress}/16 dev ${bridgeName}`,
    // A route is chosen before the destination is rewritten: without one, the node itself could not use services.
    `route add ${serviceNetwork} dev ${bridgeName} src ${nodeAddress}`,
  ].join("\n");
  await Promise.all([
    runCommand("ip", ["-batch", "-"], { input: batch }),
    runCommand("mount", ["--bind", "/proc/self/ns/net", `${namespaceFolder}/node`]),
  ]);
}

/** Sets a value under /proc/sys; one that this kernel does not have is left alone. */
function setSysctl(name: string, value: string): void {
  try {
    writeFileSync(`/proc/sys/${name}`, value);
  } catch (error) {
    // IPv6 may be off, and some names are newer than the oldest kernel that works. Forwarding is the one that counts.
    if (name === "net/ipv4/ip_forward") throw error;
  }
}
