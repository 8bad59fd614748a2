// The file system that the cluster and its pods see, as a shell script for the first process of the sandbox: the host's
// folders under copy-on-write layers that live in memory, nothing of /home, /root, /run, /tmp and /dev, and the few
// folders of the host that are exposed by name, under their own paths. Pure; runs on the host before the sandbox.
//
// Why not the host's tree as it is: mount points for volumes could not be made without touching it, a pod under UID 0 or
// 1000 would have the rights of the host's users, and a checkout below a folder of mode 0700 could not be read by a pod.

import { dirname } from "node:path";

export interface Exposure {
  /** Absolute and without symbolic links. */
  readonly path: string;
  readonly writable?: boolean;
}

export interface HostView {
  /** Content of /proc/self/mountinfo. */
  readonly mountInfo: string;
  /** Entries of `/`: the target for symbolic links. */
  readonly topLevel: readonly {
    readonly name: string;
    readonly kind: "directory" | "link";
    readonly target?: string;
  }[];
  /** Tells whether any user may pass through the folder. */
  readonly isTraversable: (path: string) => boolean;
  readonly isDirectory: (path: string) => boolean;
}

export interface RootPlan {
  readonly exposures: readonly Exposure[];
  /** In a user namespace overlay attributes live elsewhere. */
  readonly rootless: boolean;
}

/** Where the parts of the tree are put together; its first mount hides the host's /sys, which nothing here needs. */
const staging = "/sys";
const root = `${staging}/root`;

const freshFolders: readonly string[] = ["proc", "sys", "dev", "run", "tmp", "root", "home"];
const leftOut = new Set([...freshFolders, "boot", "lost+found", "snap"]);
/** Below the top level, folders in which software of images keeps its own: an ordinary user can make folders only there. */
const secondLayers = ["/var/lib", "/var/cache", "/var/log", "/usr/share", "/usr/local", "/usr/local/share"];
/** Containers mount their own over these; here they are new files. */
const replacedFiles = ["/etc/resolv.conf", "/etc/hosts", "/etc/hostname", "/etc/mtab"];
const deviceNames = ["null", "zero", "full", "random", "urandom"];
/** File systems that hold somebody's files; all others are the kernel's own. */
const realFileSystems = /^(ext[234]|xfs|btrfs|zfs|f2fs|bcachefs|9p|virtiofs|nfs4?|cifs|fuse\..*|fuseblk|overlay)$/;

/** The script; it ends by being in the new root. */
export function rootFileSystemScript(host: HostView, plan: RootPlan): string {
  const overlays = host.topLevel.filter((entry) => entry.kind === "directory" && !leftOut.has(entry.name));
  const links = host.topLevel.filter((entry) => entry.kind === "link" && !leftOut.has(entry.name));
  const layers = [
    ...overlays.map((entry) => `/${entry.name}`),
    ...secondLayers.filter((path) => host.isDirectory(path)),
  ];
  const lines = [
    "set -eu",
    "umask 022",
    `mount -t tmpfs -o mode=755 outrigger ${staging}`,
    `mkdir ${root} ${staging}/layers`,
    `mount -t tmpfs -o mode=755 outrigger ${root}`,
    `cd ${root}`,
    `mkdir ${freshFolders.join(" ")} ${overlays.map((entry) => quote(entry.name)).join(" ")}`,
    "chmod 1777 tmp",
    ...links.map((entry) => `ln -s ${quote(entry.target ?? "")} ${quote(entry.name)}`),
    ...layerFunctions(plan.rootless ? ",userxattr" : ""),
    ...layers.map((path, index) => `layer ${index} ${quote(path)} ${quote(`${root}${path}`)}`),
    ...ownMounts(host.mountInfo, plan).map((path) => `bind_ro ${quote(path)} ${quote(`${root}${path}`)}`),
    "mount -t proc proc proc",
    "mount -t sysfs -o ro sysfs sys || :",
    "mount -t tmpfs -o mode=755 tmpfs dev",
    "mkdir dev/shm dev/pts",
    "ln -s /proc/self/fd dev/fd; ln -s fd/0 dev/stdin; ln -s fd/1 dev/stdout; ln -s fd/2 dev/stderr",
    ...deviceNames.map((name) => `: > dev/${name}; mount --bind /dev/${name} dev/${name}`),
    ...exposureLines(host, plan.exposures),
    "mkdir -p var/lib/outrigger run/netns run/lock",
    "mount -t tmpfs -o mode=700 outrigger-node var/lib/outrigger",
    // Pods mount their own files here; on many hosts these are symbolic links.
    `rm -f ${replacedFiles.map((path) => path.slice(1)).join(" ")}`,
    ": > etc/resolv.conf; : > etc/hostname; echo '127.0.0.1 localhost' > etc/hosts",
    "mkdir .host",
    "pivot_root . .host",
    "cd /",
    "umount -l /.host",
    "rmdir /.host",
  ];
  return `${lines.join("\n")}\n`;
}

/**
 * `layer`: a copy-on-write layer over a folder. Where the kernel refuses one (below other mounts in a user namespace,
 * for instance), a folder in memory whose entries are the host's, read-only: in any case the host's stay untouched.
 */
function layerFunctions(overlayOption: string): string[] {
  const own = `${staging}/layers/$1`;
  return [
    "bind_ro() {",
    '  mount --rbind "$1" "$2" 2>/dev/null && mount -o remount,bind,ro "$2" 2>/dev/null || :',
    "}",
    "layer() {",
    `  mkdir -p ${own}/upper ${own}/work`,
    `  mount -t overlay -o "lowerdir=$2,upperdir=${own}/upper,workdir=${own}/work${overlayOption}" overlay "$3" 2>/dev/null ||`,
    '    spread "$2" "$3"',
    "}",
    "spread() {",
    '  mount -t tmpfs -o mode=755 tmpfs "$2"',
    '  if [ "$1" = /etc ]; then cp -a /etc/. "$2" 2>/dev/null || :; return; fi',
    '  for entry in "$1"/* "$1"/.[!.]*; do',
    '    own="$2/${entry##*/}"',
    '    if [ -L "$entry" ]; then cp -P "$entry" "$own"',
    '    elif [ -d "$entry" ]; then mkdir -p "$own"; bind_ro "$entry" "$own"',
    '    elif [ -f "$entry" ]; then : > "$own"; bind_ro "$entry" "$own"; fi',
    "  done",
    "}",
  ];
}

/** Binds each exposed folder under its own path, through parents that every user can pass. */
function exposureLines(host: HostView, exposures: readonly Exposure[]): string[] {
  const lines: string[] = [];
  const covered = new Set<string>();
  const done: string[] = [];
  for (const exposure of [...exposures].sort((a, b) => a.path.length - b.path.length)) {
    const { path } = exposure;
    if (exposure.writable !== true && done.some((other) => path === other || path.startsWith(`${other}/`))) continue;
    const barrier = ancestors(path).find((folder) => !isFresh(folder) && !host.isTraversable(folder));
    const isUnderExposure = done.some((other) => barrier?.startsWith(`${other}/`) || barrier === other);
    if (barrier !== undefined && !covered.has(barrier) && !isUnderExposure) {
      covered.add(barrier);
      lines.push(`mount -t tmpfs -o mode=755 tmpfs ${quote(`${root}${barrier}`)}`);
    }
    const target = quote(`${root}${path}`);
    lines.push(`mkdir -p ${target}`, `mount --rbind ${quote(path)} ${target}`);
    if (exposure.writable !== true) lines.push(`mount -o remount,bind,ro ${target} 2>/dev/null || :`);
    done.push(path);
  }
  return lines;
}

/** The folders above a path, outermost first, without `/`. */
function ancestors(path: string): string[] {
  const result: string[] = [];
  for (let folder = dirname(path); folder !== "/"; folder = dirname(folder)) result.unshift(folder);
  return result;
}

function isFresh(folder: string): boolean {
  return freshFolders.includes(folder.split("/")[1] ?? "");
}

/** Mounts below a top-level folder: a layer shows what lies under them. (In a user namespace no layer is possible there.) */
function ownMounts(mountInfo: string, plan: RootPlan): string[] {
  if (plan.rootless) return [];
  return mountInfo.split("\n").flatMap((line) => {
    const fields = line.split(" ");
    const path = (fields[4] ?? "").replace(/\\([0-7]{3})/g, (_, code: string) =>
      String.fromCharCode(Number.parseInt(code, 8)),
    );
    const type = fields[fields.indexOf("-") + 1] ?? "";
    const parts = path.split("/");
    const isBelow = parts.length > 2 && !leftOut.has(parts[1] ?? "");
    return isBelow && !replacedFiles.includes(path) && realFileSystems.test(type) && !path.includes("/docker/")
      ? [path]
      : [];
  });
}

/** One word for the shell, whatever it contains. */
export function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
