// Maps that stand on each other and read as one: what many have in common is one layer that none of them copies.
// No layer may change.

export class LayeredMap<Value> implements ReadonlyMap<string, Value> {
  /** No name stands in two of them. */
  readonly layers: readonly ReadonlyMap<string, Value>[];
  readonly size: number;

  constructor(layers: readonly ReadonlyMap<string, Value>[]) {
    this.layers = layers;
    this.size = layers.reduce((sum, layer) => sum + layer.size, 0);
  }

  get(name: string): Value | undefined {
    for (const layer of this.layers) {
      const value = layer.get(name);
      if (value !== undefined) return value;
    }
    return undefined;
  }

  has(name: string): boolean {
    return this.layers.some((layer) => layer.has(name));
  }

  forEach(call: (value: Value, name: string, map: ReadonlyMap<string, Value>) => void): void {
    for (const [name, value] of this.entries()) call(value, name, this);
  }

  *entries(): MapIterator<[string, Value]> {
    for (const layer of this.layers) yield* layer.entries();
  }

  *keys(): MapIterator<string> {
    for (const layer of this.layers) yield* layer.keys();
  }

  *values(): MapIterator<Value> {
    for (const layer of this.layers) yield* layer.values();
  }

  [Symbol.iterator](): MapIterator<[string, Value]> {
    return this.entries();
  }
}

/** What all share, and what only one has beside it; of equal names the shared one stays. */
export function layered<Value>(
  shared: ReadonlyMap<string, Value>,
  own: ReadonlyMap<string, Value>,
): ReadonlyMap<string, Value> {
  const rest = [...own.keys()].some((name) => shared.has(name))
    ? new Map([...own].filter(([name]) => !shared.has(name)))
    : own;
  return rest.size === 0 ? shared : new LayeredMap([shared, rest]);
}

/** The layers of any map: a map without any is its only one. */
export function layersOf<Value>(map: ReadonlyMap<string, Value>): readonly ReadonlyMap<string, Value>[] {
  return map instanceof LayeredMap ? map.layers : [map];
}
