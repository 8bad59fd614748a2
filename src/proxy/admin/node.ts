// The proxy's own node as Envoy's JSON shows it.
import type { JsonObject } from "@bufbuild/protobuf";
import type { ProxyNode } from "./proxy-state.ts";

export function nodeJson({ id, cluster, locality, metadata }: ProxyNode): JsonObject {
  const { region, zone, subZone } = locality;
  return { id, cluster, metadata, locality: { region, zone, sub_zone: subZone } };
}
