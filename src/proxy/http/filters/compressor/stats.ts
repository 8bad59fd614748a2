// Statistics of the compressor, as Envoy names them.
import type { Counter, Stats } from "../../../stats/stats.ts";
import type { EncodingChoice } from "./accept-encoding.ts";

export class DirectionStats {
  readonly compressed: Counter;
  readonly notCompressed: Counter;
  readonly uncompressedBytes: Counter;
  readonly compressedBytes: Counter;
  readonly contentLengthTooSmall: Counter;

  /** `prefix` ends with a dot. */
  constructor(stats: Stats, prefix: string) {
    this.compressed = stats.counter(`${prefix}compressed`);
    this.notCompressed = stats.counter(`${prefix}not_compressed`);
    this.uncompressedBytes = stats.counter(`${prefix}total_uncompressed_bytes`);
    this.compressedBytes = stats.counter(`${prefix}total_compressed_bytes`);
    this.contentLengthTooSmall = stats.counter(`${prefix}content_length_too_small`);
  }
}

/** What responses count beside. */
export class ChoiceStats {
  readonly notCompressedEtag: Counter;
  readonly #byReason: Readonly<Record<Exclude<EncodingChoice["reason"], "named">, Counter>>;
  readonly #used: Counter;
  readonly #overshadowed: Counter;

  constructor(stats: Stats, prefix: string) {
    this.notCompressedEtag = stats.counter(`${prefix}not_compressed_etag`);
    this.#byReason = {
      no_accept_header: stats.counter(`${prefix}no_accept_header`),
      header_identity: stats.counter(`${prefix}header_identity`),
      header_not_valid: stats.counter(`${prefix}header_not_valid`),
      header_wildcard: stats.counter(`${prefix}header_wildcard`),
    };
    this.#used = stats.counter(`${prefix}header_compressor_used`);
    this.#overshadowed = stats.counter(`${prefix}header_compressor_overshadowed`);
  }

  /** Counts why the compressor of an encoding is used, or not. */
  count({ encoding, reason }: EncodingChoice, own: string): void {
    if (reason !== "named") this.#byReason[reason].add();
    else if (encoding === own) this.#used.add();
    else this.#overshadowed.add();
  }
}
