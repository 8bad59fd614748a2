// What the process says of itself. Everything here costs microseconds and is read a few times a second.
import { readFileSync } from "node:fs";
import { getHeapSpaceStatistics, getHeapStatistics } from "node:v8";

interface Usage {
  readonly used: number;
  readonly limit: number;
}

export interface Readings {
  /** What lives long in V8's heap of this thread, against the limit at which V8 ends the process. */
  heap(): Usage;
  /** Resident bytes of the process. */
  residentBytes(): number;
  /** What the system gives the process; null without a limit. */
  memoryLimit(): number | null;
  /** Of the process' control group; null without one. */
  cgroup(): Usage | null;
  connections(): number;
  /** Never goes back. */
  monotonicMs(): number;
}

export interface ReadingSources {
  readonly connections: () => number;
  /** Node's options, from the command line and NODE_OPTIONS. */
  readonly nodeOptions: readonly string[];
}

export function processReadings({ connections, nodeOptions }: ReadingSources): Readings {
  const young = youngBytes(nodeOptions);
  return {
    heap: () => oldGeneration(young),
    residentBytes: () => process.memoryUsage.rss(),
    memoryLimit,
    cgroup,
    connections,
    monotonicMs: () => performance.now(),
  };
}

/** Of V8 as Node 26 has it: three halves of the young space. */
const defaultSemiSpaceMegabytes = 32;

/** The most that the young generation takes, which V8 adds to the limit that it tells. */
function youngBytes(nodeOptions: readonly string[]): number {
  const given = nodeOptions.flatMap((option) => /^--max[-_]semi[-_]space[-_]size=(\d+)$/.exec(option)?.[1] ?? []);
  return 3 * (Number(given.at(-1) ?? 0) || defaultSemiSpaceMegabytes) * 1024 * 1024;
}

/** The young generation empties itself, so it is not counted. */
function oldGeneration(young: number): Usage {
  const { used_heap_size: all, heap_size_limit: limit } = getHeapStatistics();
  let used = all;
  for (const { space_name: name, space_used_size: size } of getHeapSpaceStatistics()) {
    if (name === "new_space" || name === "new_large_object_space") used -= size;
  }
  return { used, limit: Math.max(limit - young, limit / 4) };
}

function memoryLimit(): number | null {
  const limit = process.constrainedMemory();
  // Without a limit the answer is 0 or more than any machine has.
  return limit > 0 && limit < 2 ** 48 ? limit : null;
}

const cgroupFiles: readonly (readonly [used: string, limit: string])[] = [
  ["/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.max"],
  ["/sys/fs/cgroup/memory/memory.usage_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes"],
];

function cgroup(): Usage | null {
  for (const [used, limit] of cgroupFiles) {
    try {
      const max = readFileSync(limit, "latin1").trim();
      return {
        used: Number(readFileSync(used, "latin1")),
        limit: max === "max" ? Number.POSITIVE_INFINITY : Number(max),
      };
    } catch {
      // The other version of control groups, or none.
    }
  }
  return null;
}
