// Writes the files of a volume so that a reader sees either all old or all new ones: they lie in a folder of their own,
// and one renamed symbolic link `..data` leads to it, as in Kubernetes.

import { chmodSync, chownSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

export interface VolumeFile {
  readonly content: Buffer;
  readonly mode: number;
}

/** Replaces the content of the folder. Paths are relative and were checked. */
export function writeAtomicFolder(
  folder: string,
  files: ReadonlyMap<string, VolumeFile>,
  version: number,
  group: number | undefined,
): void {
  const dataName = `..${version}`;
  const data = join(folder, dataName);
  mkdirSync(data, { recursive: true, mode: 0o755 });
  for (const [path, file] of files) {
    const target = join(data, path);
    mkdirSync(dirname(target), { recursive: true, mode: 0o755 });
    writeFileSync(target, file.content);
    chmodSync(target, file.mode);
    if (group !== undefined) chownSync(target, 0, group);
  }
  const link = join(folder, "..data");
  symlinkSync(dataName, `${link}_new`);
  renameSync(`${link}_new`, link);
  const topLevel = new Set([...files.keys()].map((path) => path.split("/")[0] ?? ""));
  for (const name of readdirSync(folder)) {
    const isOld = name.startsWith("..") ? name !== "..data" && name !== dataName : !topLevel.has(name);
    if (isOld) rmSync(join(folder, name), { recursive: true, force: true });
    topLevel.delete(name);
  }
  for (const name of topLevel) symlinkSync(join("..data", name), join(folder, name));
}
