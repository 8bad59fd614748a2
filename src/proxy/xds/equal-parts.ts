// Resources that come together are alike: of 5000 clusters nearly all have the same TLS, thresholds and empty lists. Parts
// that are equal become one object. Only for plain data that nobody changes and nobody knows by its identity.

export class EqualParts {
  /** What stands for a part in the keys of the parts around it. */
  readonly #numbers = new Map<unknown, number>();
  readonly #byKey = new Map<string, object>();

  /** The same value with every part that was seen before replaced. */
  share<T>(value: T): T {
    if (typeof value !== "object" || value === null) return value;
    const isList = Array.isArray(value);
    // Buffers, maps and objects of classes stay as they are.
    if (!isList && Object.getPrototypeOf(value) !== Object.prototype) return value;
    const parts = value as Record<string, unknown>;
    let key = isList ? "[" : "{";
    for (const name of Object.keys(parts)) {
      const part = this.share(parts[name]);
      if (part !== parts[name]) parts[name] = part;
      key += isList ? `${this.#mark(part)},` : `${JSON.stringify(name)}:${this.#mark(part)},`;
    }
    const known = this.#byKey.get(key);
    if (known !== undefined) return known as T;
    this.#byKey.set(key, value);
    return value;
  }

  #mark(part: unknown): string {
    if (typeof part === "string") return JSON.stringify(part);
    if (typeof part === "bigint") return `${part}n`;
    if ((typeof part !== "object" && typeof part !== "function") || part === null) return String(part);
    let number = this.#numbers.get(part);
    if (number === undefined) {
      number = this.#numbers.size;
      this.#numbers.set(part, number);
    }
    return `#${number}`;
  }
}
