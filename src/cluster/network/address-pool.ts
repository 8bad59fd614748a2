// Hands out pod addresses. An address that was given back is used again last, so that nobody who still remembers it
// reaches another pod by it.

import { apiError } from "../store/errors.ts";
import { podAddress, podAddressCount } from "./addresses.ts";

export class AddressPool {
  readonly #size: number;
  readonly #released: number[] = [];
  readonly #indexByAddress = new Map<string, number>();
  #next = 0;

  constructor(size: number = podAddressCount) {
    this.#size = size;
  }

  /** Throws UNAVAILABLE when every address is taken. */
  take(): string {
    const index = this.#next < this.#size ? this.#next++ : this.#released.shift();
    if (index === undefined) throw apiError("UNAVAILABLE", `all ${this.#size} pod addresses are taken`);
    const address = podAddress(index);
    this.#indexByAddress.set(address, index);
    return address;
  }

  release(address: string): void {
    const index = this.#indexByAddress.get(address);
    if (index === undefined) return;
    this.#indexByAddress.delete(address);
    this.#released.push(index);
  }
}
