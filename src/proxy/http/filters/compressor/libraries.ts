// Compression libraries of Envoy's configuration, on node:zlib: gzip, Brotli, zstd.
import {
  type BrotliOptions,
  constants,
  createBrotliCompress,
  createGzip,
  createZstdCompress,
  type ZlibOptions,
  type ZstdOptions,
} from "node:zlib";
import type { DescMessage } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import {
  type Brotli,
  Brotli_EncoderMode,
  BrotliSchema,
} from "#wire/gen/envoy/extensions/compression/brotli/compressor/v3/brotli_pb.ts";
import {
  type Gzip,
  GzipSchema,
  Gzip_CompressionStrategy as Strategy,
} from "#wire/gen/envoy/extensions/compression/gzip/compressor/v3/gzip_pb.ts";
import { type Zstd, ZstdSchema } from "#wire/gen/envoy/extensions/compression/zstd/compressor/v3/zstd_pb.ts";
import { inRange, typeName, unpack } from "../../../config/parse/values.ts";
import type { Problems } from "../../../config/problems.ts";
import type { ZlibCoder } from "../../content-coding.ts";

export interface CompressionLibrary {
  /** As `content-encoding` names it. */
  readonly encoding: "gzip" | "br" | "zstd";
  /** As statistics name it. */
  readonly name: string;
  create(): ZlibCoder;
}

export const compressionLibraries: readonly DescMessage[] = [GzipSchema, BrotliSchema, ZstdSchema];

export function parseCompressionLibrary(
  any: Any | undefined,
  path: string,
  problems: Problems,
): CompressionLibrary | null {
  switch (typeName(any)) {
    case GzipSchema.typeName: {
      const options = gzipOptions(unpack(any as Any, GzipSchema, path, problems), path, problems);
      return { encoding: "gzip", name: "gzip", create: () => createGzip(options) };
    }
    case BrotliSchema.typeName: {
      const options = brotliOptions(unpack(any as Any, BrotliSchema, path, problems), path, problems);
      return { encoding: "br", name: "brotli", create: () => createBrotliCompress(options) };
    }
    case ZstdSchema.typeName: {
      const options = zstdOptions(unpack(any as Any, ZstdSchema, path, problems), path, problems);
      return { encoding: "zstd", name: "zstd", create: () => createZstdCompress(options) };
    }
    case "":
      problems.invalid(path, "is missing");
      return null;
    default:
      problems.unsupported(path, `the compression library ${typeName(any)}`);
      return null;
  }
}

const chunkRange: readonly [number, number] = [64, 65_536];

function gzipOptions(gzip: Gzip | null, path: string, problems: Problems): ZlibOptions {
  return {
    memLevel: inRange(gzip?.memoryLevel, 5, [1, 9], `${path}.memory_level`, problems),
    windowBits: inRange(gzip?.windowBits, 12, [9, 15], `${path}.window_bits`, problems),
    chunkSize: inRange(gzip?.chunkSize, 4096, chunkRange, `${path}.chunk_size`, problems),
    // 0 stands for the library's own choice, which zlib calls -1.
    level: gzip === null || gzip.compressionLevel === 0 ? constants.Z_DEFAULT_COMPRESSION : gzip.compressionLevel,
    strategy: gzipStrategies[gzip?.compressionStrategy ?? Strategy.DEFAULT_STRATEGY] ?? constants.Z_DEFAULT_STRATEGY,
  };
}

const gzipStrategies: Readonly<Record<number, number>> = {
  [Strategy.DEFAULT_STRATEGY]: constants.Z_DEFAULT_STRATEGY,
  [Strategy.FILTERED]: constants.Z_FILTERED,
  [Strategy.HUFFMAN_ONLY]: constants.Z_HUFFMAN_ONLY,
  [Strategy.RLE]: constants.Z_RLE,
  [Strategy.FIXED]: constants.Z_FIXED,
};

function brotliOptions(brotli: Brotli | null, path: string, problems: Problems): BrotliOptions {
  const mode = brotli?.encoderMode ?? Brotli_EncoderMode.DEFAULT;
  return {
    chunkSize: inRange(brotli?.chunkSize, 4096, chunkRange, `${path}.chunk_size`, problems),
    params: {
      [constants.BROTLI_PARAM_MODE]: brotliModes[mode] ?? constants.BROTLI_MODE_GENERIC,
      [constants.BROTLI_PARAM_QUALITY]: inRange(brotli?.quality, 3, [0, 11], `${path}.quality`, problems),
      [constants.BROTLI_PARAM_LGWIN]: inRange(brotli?.windowBits, 18, [10, 24], `${path}.window_bits`, problems),
      [constants.BROTLI_PARAM_LGBLOCK]: inRange(
        brotli?.inputBlockBits,
        24,
        [16, 24],
        `${path}.input_block_bits`,
        problems,
      ),
      [constants.BROTLI_PARAM_DISABLE_LITERAL_CONTEXT_MODELING]: brotli?.disableLiteralContextModeling ?? false,
    },
  };
}

const brotliModes: Readonly<Record<number, number>> = {
  [Brotli_EncoderMode.TEXT]: constants.BROTLI_MODE_TEXT,
  [Brotli_EncoderMode.FONT]: constants.BROTLI_MODE_FONT,
};

function zstdOptions(zstd: Zstd | null, path: string, problems: Problems): ZstdOptions {
  if (zstd?.dictionary !== undefined) problems.unsupported(`${path}.dictionary`, "a dictionary");
  return {
    chunkSize: inRange(zstd?.chunkSize, 4096, chunkRange, `${path}.chunk_size`, problems),
    params: {
      [constants.ZSTD_c_compressionLevel]: zstd?.compressionLevel ?? 3,
      [constants.ZSTD_c_checksumFlag]: zstd?.enableChecksum ?? false,
      [constants.ZSTD_c_strategy]: zstd?.strategy ?? 0,
    },
  };
}
