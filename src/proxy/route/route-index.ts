// HOT: per request, for virtual hosts with many routes (bench: decide). Which routes a path can match at all, in their
// order, so that 5000 routes cost a few map accesses instead of 5000 comparisons. Literal paths and prefixes are found by
// the path itself; what can't be (regular expressions, other letter case, CONNECT) is always looked at.
import type { RouteEntry, RouteIndex } from "../config/http.ts";

/** Shorter lists are faster looked through. */
const worthRoutes = 24;

export function indexRoutes(routes: readonly RouteEntry[]): RouteIndex | null {
  return routes.length < worthRoutes ? null : new PathIndex(routes);
}

class PathIndex implements RouteIndex {
  readonly #exact = new Map<string, number[]>();
  readonly #prefixes = new Map<string, number[]>();
  /** Lengths that occur among the prefixes. */
  readonly #lengths: readonly number[];
  readonly #others: number[] = [];
  /** Lists that the present path can be in, each in order, and how far each was read. */
  readonly #lists: (readonly number[])[] = [];
  readonly #read: Int32Array;
  #count = 0;

  constructor(routes: readonly RouteEntry[]) {
    for (const [at, { match }] of routes.entries()) {
      const { path } = match;
      if (path.type === "regex" || path.type === "connect" || !path.caseSensitive) this.#others.push(at);
      else addTo(path.type === "path" ? this.#exact : this.#prefixes, path.value, at);
    }
    this.#lengths = [...new Set([...this.#prefixes.keys()].map((prefix) => prefix.length))].sort((a, b) => a - b);
    this.#read = new Int32Array(this.#lengths.length + 2);
  }

  start(path: string): void {
    this.#count = 0;
    this.#add(this.#others);
    const exact = this.#exact.get(path);
    if (exact !== undefined) this.#add(exact);
    const lengths = this.#lengths;
    for (let i = 0; i < lengths.length; i++) {
      const length = lengths[i]!;
      if (length > path.length) return;
      const list = this.#prefixes.get(length === path.length ? path : path.slice(0, length));
      if (list !== undefined) this.#add(list);
    }
  }

  #add(list: readonly number[]): void {
    this.#lists[this.#count] = list;
    this.#read[this.#count] = 0;
    this.#count++;
  }

  next(): number {
    let best = -1;
    let from = 0;
    for (let i = 0; i < this.#count; i++) {
      const at = this.#lists[i]![this.#read[i]!];
      if (at === undefined || (best >= 0 && at > best)) continue;
      best = at;
      from = i;
    }
    if (best >= 0) this.#read[from]!++;
    return best;
  }
}

function addTo(map: Map<string, number[]>, key: string, at: number): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [at]);
  else list.push(at);
}
