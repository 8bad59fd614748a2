// Values that plugins share, by VM id: whoever knows the id may read and write them. Each value has a number that changes
// with every write, for compare-and-swap.
import { Status } from "./abi.ts";
import { wasmLimits } from "./limits.ts";

interface SharedValue {
  readonly bytes: Buffer;
  readonly cas: number;
}

interface SharedSpace {
  readonly values: Map<string, SharedValue>;
  bytes: number;
}

export class SharedData {
  readonly #spaces = new Map<string, SharedSpace>();
  #lastCas = 0;

  get(vmId: string, key: string): SharedValue | undefined {
    return this.#spaces.get(vmId)?.values.get(key);
  }

  /** `cas` 0 writes in any case. */
  set(vmId: string, key: string, bytes: Buffer, cas: number): Status {
    let space = this.#spaces.get(vmId);
    if (space === undefined) {
      space = { values: new Map(), bytes: 0 };
      this.#spaces.set(vmId, space);
    }
    const known = space.values.get(key);
    if (cas !== 0 && known !== undefined && known.cas !== cas) return Status.CasMismatch;
    const grown = bytes.length - (known === undefined ? -key.length : known.bytes.length);
    if (space.bytes + grown > wasmLimits.maxSharedDataBytes) return Status.InternalFailure;
    space.bytes += grown;
    this.#lastCas = this.#lastCas >= 0xffffffff ? 1 : this.#lastCas + 1;
    space.values.set(key, { bytes, cas: this.#lastCas });
    return Status.Ok;
  }
}
