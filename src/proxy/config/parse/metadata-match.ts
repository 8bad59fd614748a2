// `metadata_match` of routes: what the `envoy.lb` metadata of endpoints must say.
import type { Metadata } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import type { MetadataMatch } from "../http.ts";

/** Null when nothing is asked. */
export function metadataMatch(metadata: Metadata | undefined): MetadataMatch | null {
  const wanted = Object.entries(metadata?.filterMetadata["envoy.lb"] ?? {});
  return wanted.length === 0 ? null : sorted(new Map(wanted.map(([name, value]) => [name, JSON.stringify(value)])));
}

/** Both, where the inner one wins. */
export function mergeMetadataMatch(outer: MetadataMatch | null, inner: MetadataMatch | null): MetadataMatch | null {
  if (outer === null || inner === null) return inner ?? outer;
  return sorted(new Map([...outer.entries, ...inner.entries]));
}

function sorted(values: ReadonlyMap<string, string>): MetadataMatch {
  return { entries: [...values].sort(([a], [b]) => (a < b ? -1 : 1)) };
}
