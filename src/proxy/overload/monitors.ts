// Resource monitors: each turns a reading into a pressure (1 is the limit) and says in words what it has read.
import type { MonitorConfig } from "../config/overload.ts";
import type { Readings } from "./readings.ts";

export interface Pressure {
  readonly value: number;
  readonly words: string;
}

export interface Monitor {
  readonly name: string;
  /** Null where the system does not tell. `latenessMs`: how late this round of reading began. */
  read(latenessMs: number): Pressure | null;
}

/** `loops`: event loops that share what is limited for all of them. */
export function createMonitor(config: MonitorConfig, readings: Readings, loops: number): Monitor {
  const { name } = config;
  switch (config.type) {
    case "heap":
      return {
        name,
        read: () => {
          const { used, limit } = readings.heap();
          return bytes("the heap", used, limit);
        },
      };
    case "memory":
      return {
        name,
        read: () => {
          const limit = readings.memoryLimit();
          return limit === null ? null : bytes("memory", readings.residentBytes(), limit);
        },
      };
    case "fixed_heap":
      return { name, read: () => bytes("memory", readings.residentBytes(), config.maxBytes) };
    case "cgroup_memory":
      return {
        name,
        read: () => {
          const usage = readings.cgroup();
          if (usage === null) return null;
          const limit = config.maxBytes > 0 ? Math.min(config.maxBytes, usage.limit) : usage.limit;
          return bytes("the control group", usage.used, limit);
        },
      };
    case "downstream_connections": {
      const most = Math.ceil(config.max / loops);
      return {
        name,
        read: () => {
          const count = readings.connections();
          return { value: count / most, words: `${count} of ${most} connections are open` };
        },
      };
    }
    case "event_loop_delay":
      return eventLoopMonitor(name, config.maxMs);
  }
}

function bytes(what: string, used: number, limit: number): Pressure {
  const percent = Math.round((used / limit) * 100);
  return { value: used / limit, words: `${what} is at ${percent} %: ${megabytes(used)} of ${megabytes(limit)} MB` };
}

function megabytes(count: number): string {
  return Number.isFinite(count) ? String(Math.round(count / 1e6)) : "unlimited";
}

const windowSize = 4;

/**
 * How late the rounds of reading begin is how late any event begins. Of the last four the second smallest counts: one
 * long turn, as a collection of garbage or a large configuration, is no overload; a delay that stands is.
 */
function eventLoopMonitor(name: string, maxMs: number): Monitor {
  const samples: number[] = [];
  return {
    name,
    read: (latenessMs) => {
      samples.push(latenessMs);
      if (samples.length > windowSize) samples.shift();
      const standing = samples.length < windowSize ? 0 : (samples.toSorted((a, b) => a - b)[1] ?? 0);
      return {
        value: standing / maxMs,
        words: `events wait ${Math.round(standing)} ms for their turn, of ${Math.round(maxMs)} ms`,
      };
    },
  };
}
