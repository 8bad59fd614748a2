// Addresses for what gets its address only in a cluster. They follow from the name, so that they are the same in every
// run and whatever else stands in the files: Services from 10.96.0.0/16, pods from 10.244.0.0/14.

const serviceNetwork = { first: 0x0a60_0000, size: 2 ** 16 };
const podNetwork = { first: 0x0af4_0000, size: 2 ** 18 };
/** Addresses at the beginning that clusters keep for themselves. */
const reserved = 256;

export class StandInAddresses {
  readonly #taken: Set<string>;

  /** `taken`: addresses that the files name. */
  constructor(taken: Iterable<string>) {
    this.#taken = new Set(taken);
  }

  service(namespace: string, name: string): string {
    return this.#next(serviceNetwork, `${namespace}/${name}`);
  }

  pod(namespace: string, name: string): string {
    return this.#next(podNetwork, `${namespace}/${name}`);
  }

  #next({ first, size }: typeof serviceNetwork, key: string): string {
    const usable = size - 2 * reserved;
    const start = hash(key) % usable;
    for (let step = 0; step < usable; step++) {
      const address = dotted(first + reserved + ((start + step) % usable));
      if (this.#taken.has(address)) continue;
      this.#taken.add(address);
      return address;
    }
    throw new RangeError(`more than ${usable} addresses are needed; name them in the files`);
  }
}

/** FNV-1a with 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  return value >>> 0;
}

function dotted(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join(".");
}
