import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { type Cluster, ClusterSchema } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { provenanceKey } from "#wire/xds/provenance.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import { ResourceEncoder, type ResourcesByName } from "./encoded-resource.ts";

const encoder = new ResourceEncoder();

/** `a=1` is a cluster named a whose content is told by 1. */
function encode(...texts: readonly string[]): ResourcesByName {
  const clusters = texts.map((text): [string, Cluster] => {
    const [name = "", altStatName = ""] = text.split("=");
    return [name, create(ClusterSchema, { name, altStatName })];
  });
  return encoder.encodeAll(typeUrl.cluster, ClusterSchema, new Map(clusters));
}

test("equal sets are one, and a replacement is made once for all who share the set", () => {
  const set = encode("a=1", "b=1");
  assert.equal(encode("a=1", "b=1"), set);
  assert.notEqual(encode("a=1", "b=2"), set);
  const replaced = encoder.replace(set, encode("b=2"));
  assert.equal(encoder.replace(set, encode("b=2")), replaced);
  assert.equal(encode("a=1", "b=2"), replaced);
  assert.equal(replaced.get("a"), set.get("a"));
  assert.notEqual(replaced.get("b")?.version, set.get("b")?.version);
  assert.equal(encoder.replace(set, encode("b=1")), set);
});

test("a resource names the objects that it was made from, without those of the registry", () => {
  const origin = (kind: string): Record<string, string> => ({ kind, namespace: "default", name: "reviews" });
  const cluster = create(ClusterSchema, {
    name: "a",
    metadata: { filterMetadata: { [provenanceKey]: { origins: [origin("DestinationRule"), origin("Service")] } } },
  });
  const resource = encoder.encode(typeUrl.cluster, ClusterSchema, "a", cluster);
  assert.deepEqual(resource.origins, ["DestinationRule/default/reviews"]);
});
