// What a container mounts, in order, as a table for one run of `mount -a`; and which mount points have to be made before.
// Pure: the caller makes them.

import { resolve } from "node:path";

export interface MountSource {
  /** Path on the node. */
  readonly source: string;
  /** Path in the container, without symbolic links. */
  readonly target: string;
  readonly readOnly?: boolean;
}

interface MountPoint {
  /** Where it is made, as the node sees it. */
  readonly path: string;
  readonly source: string;
}

export interface MountTable {
  readonly points: readonly MountPoint[];
  readonly table: string;
}

/**
 * Hidden folders are covered at the end. Outer mounts come first. A mount point below another mount is made in that one's source: when the table runs, it is
 * what lies there.
 */
export function mountTable(mounts: readonly MountSource[], hidden: readonly string[]): MountTable {
  const byTarget = new Map(mounts.map((mount) => [mount.target, mount]));
  const ordered = [...byTarget.values()].sort((a, b) => depth(a.target) - depth(b.target));
  const points = ordered.map(({ source, target }) => {
    const outer = ordered
      .filter((other) => other.target !== target && target.startsWith(`${other.target}/`))
      .reduce<MountSource | undefined>(
        (best, other) => (depth(other.target) > depth(best?.target ?? "/") ? other : best),
        undefined,
      );
    return { source, path: outer === undefined ? target : `${outer.source}${target.slice(outer.target.length)}` };
  });
  const lines = ordered.map(
    ({ source, target, readOnly }) =>
      `${escape(source)} ${escape(target)} none bind${readOnly === true ? ",ro" : ""} 0 0`,
  );
  const table = [
    ...lines,
    "/proc/sys /proc/sys none bind,ro 0 0",
    ...hidden.map((folder) => `none ${escape(folder)} tmpfs ro,size=4k,mode=555 0 0`),
    "",
  ].join("\n");
  return { points, table };
}

function depth(path: string): number {
  return path === "/" ? 0 : path.split("/").length - 1;
}

/** fstab's escapes (fstab(5)). */
function escape(path: string): string {
  return path.replace(/[\s\\#]/g, (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, "0")}`);
}

/** The absolute form of a mountPath. */
export function mountTarget(mountPath: string, realPath: (path: string) => string): string {
  return realPath(resolve("/", mountPath));
}
