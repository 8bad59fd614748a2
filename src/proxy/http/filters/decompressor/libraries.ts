// Decompression libraries of Envoy's configuration, on node:zlib: gzip, Brotli, zstd.
import { createBrotliDecompress, createGunzip, createZstdDecompress } from "node:zlib";
import type { DescMessage } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { BrotliSchema } from "#wire/gen/envoy/extensions/compression/brotli/decompressor/v3/brotli_pb.ts";
import { GzipSchema } from "#wire/gen/envoy/extensions/compression/gzip/decompressor/v3/gzip_pb.ts";
import { ZstdSchema } from "#wire/gen/envoy/extensions/compression/zstd/decompressor/v3/zstd_pb.ts";
import { inRange, typeName, unpack } from "../../../config/parse/values.ts";
import type { Problems } from "../../../config/problems.ts";
import type { ZlibCoder } from "../../content-coding.ts";

export interface DecompressionLibrary {
  /** As `content-encoding` names it. */
  readonly encoding: "gzip" | "br" | "zstd";
  /** As statistics name it. */
  readonly name: string;
  /** More bytes than this for each compressed one are a bomb. */
  readonly maxRatio: number;
  create(): ZlibCoder;
}

export const decompressionLibraries: readonly DescMessage[] = [GzipSchema, BrotliSchema, ZstdSchema];

/** Envoy's, for libraries without a setting for it. */
const defaultMaxRatio = 100;

export function parseDecompressionLibrary(
  any: Any | undefined,
  path: string,
  problems: Problems,
): DecompressionLibrary | null {
  const chunkOf = (size: number | undefined): number =>
    inRange(size, 4096, [4096, 65_536], `${path}.chunk_size`, problems);
  switch (typeName(any)) {
    case GzipSchema.typeName: {
      const gzip = unpack(any as Any, GzipSchema, path, problems);
      const options = {
        windowBits: inRange(gzip?.windowBits, 15, [9, 15], `${path}.window_bits`, problems),
        chunkSize: chunkOf(gzip?.chunkSize),
      };
      const ratioPath = `${path}.max_inflate_ratio`;
      const maxRatio = inRange(gzip?.maxInflateRatio, defaultMaxRatio, [1, 1032], ratioPath, problems);
      return { encoding: "gzip", name: "gzip", maxRatio, create: () => createGunzip(options) };
    }
    case BrotliSchema.typeName: {
      const options = { chunkSize: chunkOf(unpack(any as Any, BrotliSchema, path, problems)?.chunkSize) };
      return {
        encoding: "br",
        name: "brotli",
        maxRatio: defaultMaxRatio,
        create: () => createBrotliDecompress(options),
      };
    }
    case ZstdSchema.typeName: {
      const zstd = unpack(any as Any, ZstdSchema, path, problems);
      if ((zstd?.dictionaries.length ?? 0) > 0) problems.unsupported(`${path}.dictionaries`, "a dictionary");
      const options = { chunkSize: chunkOf(zstd?.chunkSize) };
      return {
        encoding: "zstd",
        name: "zstd",
        maxRatio: defaultMaxRatio,
        create: () => createZstdDecompress(options),
      };
    }
    case "":
      problems.invalid(path, "is missing");
      return null;
    default:
      problems.unsupported(path, `the decompression library ${typeName(any)}`);
      return null;
  }
}
