// Memory of a process and its children as the kernel counts it.
import { readdirSync, readFileSync } from "node:fs";
import type { BenchProcess } from "./process.ts";

export interface Memory {
  readonly residentBytes: number;
  /** Not backed by a file: what only this process has. */
  readonly anonymousBytes: number;
}

export function residentBytes(process: BenchProcess): number {
  return memoryOf(process.pid).residentBytes;
}

export function memoryOf(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "latin1");
  const kilobytes = (field: string): number => Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? 0);
  const children = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && parentOf(name) === pid)
    .map((name) => memoryOf(Number(name)));
  return {
    residentBytes: children.reduce((sum, child) => sum + child.residentBytes, kilobytes("Rss") * 1024),
    anonymousBytes: children.reduce((sum, child) => sum + child.anonymousBytes, kilobytes("Anonymous") * 1024),
  };
}

function parentOf(pid: string): number {
  try {
    return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1] ?? 0);
  } catch {
    return 0; // ended meanwhile
  }
}
