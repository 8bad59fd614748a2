// `metadata_match` of routes: what the `envoy.lb` metadata of endpoints must say.
import type { JsonObject } from "@bufbuild/protobuf";
import type { Metadata } from "#wire/gen/envoy/config/core/v3/base_pb.ts";

/** Null when nothing is asked. */
export function metadataMatch(metadata: Metadata | undefined): JsonObject | null {
  const wanted = metadata?.filterMetadata["envoy.lb"];
  return wanted === undefined || Object.keys(wanted).length === 0 ? null : wanted;
}

/** Both, where the inner one wins. */
export function mergeMetadataMatch(outer: JsonObject | null, inner: JsonObject | null): JsonObject | null {
  return outer === null || inner === null ? (inner ?? outer) : { ...outer, ...inner };
}
