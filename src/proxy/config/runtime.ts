// HOT: per request. Envoy's runtime: values by key that take the place of what the configuration says, from the static
// layers of the bootstrap and from `/runtime_modify`. Here they move shares of requests (RuntimeFractionalPercent) and
// what the bootstrap asks of its keys. Later layers win.
// https://www.envoyproxy.io/docs/envoy/latest/configuration/operations/runtime

/** A share of requests, from 0 to 1, unless the runtime has another one under `key`. */
export interface RuntimeShare {
  readonly fraction: number;
  /** Empty: the runtime has no say. */
  readonly key: string;
}

export const always: RuntimeShare = { fraction: 1, key: "" };
export const never: RuntimeShare = { fraction: 0, key: "" };

export interface RuntimeLayer {
  readonly name: string;
  /** Values as text, by dotted key. */
  readonly values: ReadonlyMap<string, string>;
}

/** What a layer above all others says; empty text takes a key out of it. */
export type RuntimeChanges = readonly (readonly [key: string, value: string])[];

const adminLayer = "admin";

export class Runtime {
  readonly #layers: readonly RuntimeLayer[];
  readonly #admin = new Map<string, string>();
  /** The values that are shares. Empty in nearly every proxy. */
  readonly #shares = new Map<string, number>();

  /** `hasAdmin` false: the bootstrap has layers of its own, and none for `/runtime_modify`. */
  readonly hasAdmin: boolean;

  constructor(layers: readonly RuntimeLayer[] = [], hasAdmin = true) {
    this.#layers = layers;
    this.hasAdmin = hasAdmin;
    this.#readShares();
  }

  /** The share that counts now. */
  fraction(share: RuntimeShare): number {
    if (share.key === "" || this.#shares.size === 0) return share.fraction;
    return this.#shares.get(share.key) ?? share.fraction;
  }

  /** All layers, the strongest last. */
  get layers(): readonly RuntimeLayer[] {
    return this.hasAdmin ? [...this.#layers, { name: adminLayer, values: this.#admin }] : this.#layers;
  }

  /** What `/runtime_modify` has set. */
  get changes(): RuntimeChanges {
    return [...this.#admin];
  }

  modify(changes: RuntimeChanges): void {
    for (const [key, value] of changes) {
      if (value === "") this.#admin.delete(key);
      else this.#admin.set(key, value);
    }
    this.#readShares();
  }

  #readShares(): void {
    this.#shares.clear();
    for (const { values } of this.layers) {
      for (const [key, value] of values) {
        const share = shareOf(value);
        if (share === null) this.#shares.delete(key);
        else this.#shares.set(key, share);
      }
    }
  }
}

const denominators: Readonly<Record<string, number>> = { HUNDRED: 100, TEN_THOUSAND: 10_000, MILLION: 1_000_000 };

/** A whole number is percent, whatever the default is out of; a FractionalPercent says what it is out of. */
function shareOf(value: string): number | null {
  if (/^\d+$/.test(value)) return Math.min(1, Number(value) / 100);
  const numerator = /"?numerator"?\s*:\s*(\d+)/.exec(value);
  if (!value.startsWith("{") || numerator === null) return null;
  const denominator = /"?denominator"?\s*:\s*"?(HUNDRED|TEN_THOUSAND|MILLION)\b/.exec(value)?.[1] ?? "HUNDRED";
  return Math.min(1, Number(numerator[1]) / (denominators[denominator] ?? 100));
}
