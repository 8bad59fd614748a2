// Gives memory that is not needed any more back to the system: V8's, and then what the C library keeps of what was freed,
// which after a large configuration is as much again (20 MB of 5000 clusters).
import { createRequire } from "node:module";
import type * as Koffi from "koffi";
import { shrinkHeap } from "#base/memory/compaction.ts";

/** The function that does it; the library for the second part is loaded at its first call. */
export function memoryReleaser(): () => void {
  let trim: (() => void) | null | undefined;
  return () => {
    shrinkHeap();
    trim = trim === undefined ? loadTrim() : trim;
    trim?.();
  };
}

/** Null where the C library has no such call (musl), or none can be made. */
function loadTrim(): (() => void) | null {
  try {
    const koffi = createRequire(import.meta.url)("koffi") as typeof Koffi;
    const mallocTrim = koffi.load(null).func("int malloc_trim(size_t pad)");
    return () => void mallocTrim(0);
  } catch {
    return null;
  }
}
