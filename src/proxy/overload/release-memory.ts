// Gives memory that is not needed any more back to the system: V8's, then what the C library keeps of what was freed,
// which after a large configuration is as much again (20 MB of 5000 clusters), and then the pages of Node's code that only
// starting needed (17 MB in a sidecar). The last stay in the page cache: what is needed again costs a minor fault.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type * as Koffi from "koffi";
import { shrinkHeap } from "#base/memory/compaction.ts";

/** The function that does it; the library for the second and third part is loaded at its first call. */
export function memoryReleaser(): () => void {
  let release: (() => void) | null | undefined;
  return () => {
    shrinkHeap();
    release = release === undefined ? loadRelease() : release;
    release?.();
  };
}

/** Null where the C library has no such calls (musl), or none can be made. */
function loadRelease(): (() => void) | null {
  try {
    const koffi = createRequire(import.meta.url)("koffi") as typeof Koffi;
    const libc = koffi.load(null);
    const mallocTrim = libc.func("int malloc_trim(size_t pad)");
    const madvise = libc.func("int madvise(uintptr_t address, size_t length, int advice)");
    const code = codeMappings(readFileSync("/proc/self/maps", "latin1"), process.execPath);
    return () => {
      mallocTrim(0);
      for (const { start, length } of code) madvise(start, length, dontNeed);
    };
  } catch {
    return null;
  }
}

/** MADV_DONTNEED: of a private mapping that nobody wrote to, the pages are read from the file again. */
const dontNeed = 4;

/**
 * Where the code of a program is mapped, by the text of /proc/self/maps. Only what can be executed: other parts of the
 * file may have been changed while it was loaded (relocations), although they can't be written any more.
 */
export function codeMappings(
  maps: string,
  program: string,
): readonly { readonly start: number; readonly length: number }[] {
  return maps.split("\n").flatMap((line) => {
    const [range = "", permissions, , , , path] = line.split(/\s+/);
    if (permissions !== "r-xp" || path !== program) return [];
    const [start = Number.NaN, end = Number.NaN] = range.split("-").map((address) => Number.parseInt(address, 16));
    return [{ start, length: end - start }];
  });
}
