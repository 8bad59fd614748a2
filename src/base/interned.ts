/** Values by a key that says all of their content, as long as somebody else holds them. */
export class Interned<Value extends object> {
  readonly #byKey = new Map<string, WeakRef<Value>>();
  readonly #forget = new FinalizationRegistry<string>((key) => {
    if (this.#byKey.get(key)?.deref() === undefined) this.#byKey.delete(key);
  });

  get size(): number {
    return this.#byKey.size;
  }

  get(key: string, make: () => Value): Value {
    const known = this.#byKey.get(key)?.deref();
    if (known !== undefined) return known;
    const value = make();
    this.#byKey.set(key, new WeakRef(value));
    this.#forget.register(value, key);
    return value;
  }
}
