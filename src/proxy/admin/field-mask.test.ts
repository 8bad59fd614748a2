import assert from "node:assert/strict";
import { test } from "node:test";
import { messageOf } from "./dump-messages.ts";
import { isMaskOf, masked, parseMask } from "./field-mask.ts";

test("a mask is checked against the fields of the message", () => {
  const clusters = messageOf("ClustersConfigDump");
  const fits = (mask: string): boolean => isMaskOf(parseMask(mask), clusters);
  assert.equal(fits("version_info,static_clusters"), true);
  assert.equal(fits("nothing"), false);
  assert.equal(fits("static_clusters.cluster"), false, "elements of lists cannot be named");
  assert.equal(isMaskOf(parseMask("bootstrap.node.id"), messageOf("BootstrapConfigDump")), true);
  assert.equal(isMaskOf(parseMask("bootstrap.node.nothing"), messageOf("BootstrapConfigDump")), false);
});

test("what the mask does not name is taken off, inside of a resource too", () => {
  const value = {
    version_info: "1",
    last_updated: "now",
    cluster: {
      "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
      name: "a",
      type: "EDS",
      metadata: { x: 1 },
    },
  };
  assert.deepEqual(masked(value, parseMask("last_updated,cluster.name")), {
    last_updated: "now",
    cluster: { "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", name: "a" },
  });
  assert.deepEqual(
    masked(value, parseMask("cluster,cluster.name")),
    { cluster: value.cluster },
    "the wider one counts",
  );
  assert.equal(masked(value, parseMask("cluster.nothing")), null);
});
