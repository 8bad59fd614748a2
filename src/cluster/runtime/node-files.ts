// The node's own folders and the mount namespace from which every container's is copied: the sandbox's tree, read-only,
// without the state directory, other users' processes hidden.

import { spawn } from "node:child_process";
import { chownSync, existsSync, mkdirSync, openSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { runCommand, systemPath } from "../network/run-command.ts";
import { sandboxError } from "../sandbox/errors.ts";
import type { MountSource } from "./container-mounts.ts";

/** In memory, mode 0700, hidden from containers. */
export const nodeFolder = "/var/lib/outrigger";

/** Where a container finds the compile cache of its user. */
export const compileCacheMount = "/var/cache/outrigger";

export interface NodeFilesOptions {
  /** Outside: the only thing that outlives the sandbox. */
  readonly stateDirectory: string;
  /** The folders of the host that containers see under their own paths. */
  readonly directories: readonly string[];
}

export interface NodeFiles {
  /** For `nsenter --mount=`. */
  readonly containerNamespace: string;
  /** Folders that a container's own /tmp and /run would hide. */
  readonly exposed: readonly MountSource[];
  /** Folders that no container may see into, whatever is exposed around them. */
  readonly hidden: readonly string[];
  /** The compile cache of a user, made when absent. No two users share one: a cache is code. */
  compileCache(user: number): string;
}

export async function prepareNodeFiles(options: NodeFilesOptions): Promise<NodeFiles> {
  for (const folder of ["pods", "exposed", "compile-cache"]) mkdirSync(join(nodeFolder, folder), { recursive: true });
  mkdirSync(compileCacheMount, { recursive: true });
  const hidden = options.directories
    .map((directory) => realpathSync(directory))
    .filter((path) => /^\/(tmp|run|dev\/shm)\//.test(path))
    .filter((path, _, all) => !all.some((other) => path.startsWith(`${other}/`)));
  const exposed = hidden.map((target, index) => ({ target, source: join(nodeFolder, "exposed", String(index)) }));
  const caches = join(options.stateDirectory, "compile-cache");
  mkdirSync(caches, { recursive: true, mode: 0o711 });
  for (const { source } of exposed) mkdirSync(source);
  await Promise.all([
    ...exposed.map(({ target, source }) => runCommand("mount", ["--rbind", target, source])),
    runCommand("mount", ["--bind", caches, join(nodeFolder, "compile-cache")]),
  ]);
  const isExposed = options.directories.some((directory) =>
    options.stateDirectory.startsWith(`${realpathSync(directory)}/`),
  );
  const containerNamespace = await makeContainerNamespace(
    options.stateDirectory,
    exposed.map(({ target }) => target),
  );
  return {
    containerNamespace,
    exposed: exposed.map((mount) => ({ ...mount, readOnly: true })),
    hidden: [nodeFolder, ...(isExposed ? [options.stateDirectory] : [])],
    compileCache: (user) => {
      const folder = join(nodeFolder, "compile-cache", String(user));
      if (!existsSync(folder)) {
        mkdirSync(folder, { mode: 0o700 });
        chownSync(folder, user, user);
      }
      return folder;
    },
  };
}

const containerScript = `
umount -l "$1" || exit 1
shift
# What each container mounts anew; "mount -a" would take it for done.
while [ "$1" != -- ]; do umount -l "$1" || :; shift; done
shift
while [ $# -gt 1 ]; do mount -o "remount,bind,ro,$1" "$2" || exit 1; shift 2; done
mount -t proc -o hidepid=2 proc /proc || mount -t proc proc /proc || exit 1
# What a process under UID 0 could reach of the machine itself.
for path in bus fs irq sysrq-trigger; do
  [ ! -e /proc/$path ] || { mount --bind /proc/$path /proc/$path && mount -o remount,bind,ro /proc/$path; } || exit 1
done
for path in kcore keys timer_list; do [ ! -e /proc/$path ] || mount --bind /dev/null /proc/$path || exit 1; done
echo ready
read -r _
`;

/**
 * A process makes the namespace; an open descriptor of ours keeps it when the process has ended. (Binding it to a file
 * is no way: kernels refuse that at random since namespaces of different processors have ids without an order.)
 */
async function makeContainerNamespace(stateDirectory: string, hidden: readonly string[]): Promise<string> {
  const left = (path: string): boolean =>
    ![stateDirectory, ...hidden].some((one) => path === one || path.startsWith(`${one}/`));
  const words = ["sh", "-c", containerScript, "sh", stateDirectory, ...hidden, "--", ...writableMounts(left)];
  const child = spawn("unshare", ["--mount", "--propagation", "unchanged", "--", ...words], {
    env: { PATH: systemPath, LC_ALL: "C" },
    stdio: ["pipe", "pipe", "pipe"],
    timeout: 20_000,
  });
  try {
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      said += String(chunk);
    });
    await new Promise<void>((resolve, reject) => {
      child.stdout.once("data", () => resolve());
      child.once("error", reject);
      child.once("close", () => reject(sandboxError("COMMAND_FAILED", `the containers' file system: ${said.trim()}`)));
    });
    const descriptor = openSync(`/proc/${child.pid}/ns/mnt`, "r");
    return `/proc/${process.pid}/fd/${descriptor}`;
  } finally {
    child.stdin.end("\n");
  }
}

const keptFlags = new Set(["nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime"]);

/** Flags and path of each mount that a container must not write to. Flags stay as they are: some are locked. */
function writableMounts(isLeft: (path: string) => boolean): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .flatMap((line) => {
      const [, , , , path = "", options = ""] = line.split(" ");
      const flags = options.split(",");
      const isOwn =
        path === "" || !isLeft(path) || /^\/(proc|dev\/|run\/netns)/.test(path) || path.startsWith(nodeFolder);
      return isOwn || !flags.includes("rw")
        ? []
        : [flags.filter((flag) => keptFlags.has(flag)).join(",") || "relatime", path];
    })
    .map((word) => word.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8))));
}
