// What the embedded cluster needs from the machine, each thing that is missing as an issue whose fix is one line to type.

import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { type Issue, Severity } from "#base/issue.ts";
import { systemPath } from "../network/run-command.ts";

/** The machine as the check sees it; tests pass their own. */
export interface Machine {
  readonly platform: string;
  readonly isRoot: boolean;
  readonly userName: string;
  readonly hasProgram: (name: string) => boolean;
  /** Content of a file, undefined when it cannot be read. */
  readonly read: (path: string) => string | undefined;
  /** Runs a command and tells what it wrote when it failed, undefined when it did not. */
  readonly failureOf: (command: readonly string[]) => string | undefined;
}

const programs: readonly (readonly [program: string, debianPackage: string])[] = [
  ["ip", "iproute2"],
  ["iptables-restore", "iptables"],
  ["unshare", "util-linux"],
  ["nsenter", "util-linux"],
  ["setpriv", "util-linux"],
  ["pivot_root", "util-linux"],
  ["mount", "mount"],
];
const rootlessPrograms: readonly (readonly [program: string, debianPackage: string])[] = [
  ["newuidmap", "uidmap"],
  ["newgidmap", "uidmap"],
];

/** Returns what is missing, most basic first; empty when the sandbox can start. */
export function checkPrerequisites(machine: Machine = thisMachine()): Issue[] {
  if (machine.platform !== "linux") {
    return [
      issue(`the embedded cluster needs Linux, this is ${machine.platform}`, "run it in a Linux virtual machine"),
    ];
  }
  const wanted = machine.isRoot ? programs : [...programs, ...rootlessPrograms];
  const missing = wanted.filter(([program]) => !machine.hasProgram(program));
  if (missing.length > 0) {
    const sudo = machine.isRoot ? "" : "sudo ";
    const packages = [...new Set(missing.map(([, debianPackage]) => debianPackage))].join(" ");
    const names = missing.map(([program]) => program).join(", ");
    return [issue(`missing programs: ${names}`, `${sudo}apt-get install -y ${packages}`)];
  }
  return machine.isRoot ? checkRoot(machine) : checkRootless(machine);
}

function checkRoot(machine: Machine): Issue[] {
  const failure = machine.failureOf(["unshare", "--net", "--mount", "--pid", "--fork", "true"]);
  if (failure === undefined) return [];
  return [issue(`this root may not make namespaces (${failure})`, "in a container, start it with --privileged")];
}

function checkRootless(machine: Machine): Issue[] {
  const { userName } = machine;
  const range = "--add-subuids 100000-165535 --add-subgids 100000-165535";
  for (const file of ["/etc/subuid", "/etc/subgid"]) {
    const entries = (machine.read(file) ?? "").split("\n").map((line) => line.split(":"));
    const own = entries.find(([name, , count]) => name === userName && Number(count) >= 65_536);
    if (own === undefined) {
      return [issue(`${file} gives ${userName} no range of 65536 ids for pods`, `sudo usermod ${range} ${userName}`)];
    }
  }
  if (machine.read("/proc/sys/user/max_user_namespaces")?.trim() === "0") {
    return [issue("user namespaces are off on this machine", "sudo sysctl -w user.max_user_namespaces=10000")];
  }
  if (machine.read("/proc/sys/kernel/unprivileged_userns_clone")?.trim() === "0") {
    return [issue("user namespaces are only for root here", "sudo sysctl -w kernel.unprivileged_userns_clone=1")];
  }
  const flags = ["--user", "--map-root-user", "--map-auto", "--net", "--mount", "--pid", "--fork"];
  const failure = machine.failureOf(["unshare", ...flags, "ip", "link", "set", "lo", "up"]);
  if (failure === undefined) return [];
  if (machine.read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")?.trim() === "1") {
    const fix = "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0";
    return [issue("AppArmor keeps ordinary users from using namespaces", fix)];
  }
  return [issue(`an ordinary user may not make namespaces here (${failure})`, "run the command as root (sudo)")];
}

function issue(message: string, fix: string): Issue {
  return { code: "OUT0601", severity: Severity.Error, message, fix };
}

function thisMachine(): Machine {
  return {
    platform: process.platform,
    isRoot: process.getuid?.() === 0,
    userName: userInfo().username,
    hasProgram: (name) => systemPath.split(":").some((folder) => isExecutable(`${folder}/${name}`)),
    read: (path) => {
      if (!existsSync(path)) return undefined;
      try {
        return readFileSync(path, "utf8");
      } catch {
        return undefined; // exists but is not ours to read
      }
    },
    failureOf: ([file, ...args]) => {
      const options = { env: { PATH: systemPath, LC_ALL: "C" }, timeout: 10_000 };
      const result = spawnSync(file ?? "", args, { ...options, stdio: ["ignore", "ignore", "pipe"] });
      if (result.status === 0) return undefined;
      return (
        String(result.stderr ?? "")
          .trim()
          .split("\n")[0] || `exit code ${result.status}`
      );
    },
  };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false; // not there
  }
}
