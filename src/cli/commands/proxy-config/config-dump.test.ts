import assert from "node:assert/strict";
import { test } from "node:test";
import { readConfigDump } from "./config-dump.ts";
import { camelCaseFields } from "./field-names.ts";
import { envoyDump, istioctlDump } from "./testing/envoy-dump.ts";

test("a dump reads the same in both spellings", () => {
  assert.deepEqual(readConfigDump(envoyDump), readConfigDump(istioctlDump));
  assert.deepEqual(readConfigDump(istioctlDump).whole, istioctlDump);
});

test("the static and the dynamic resources in force are listed, refused ones are not", () => {
  const dump = readConfigDump(envoyDump);
  const names = (resources: readonly object[]): unknown[] => resources.map((resource) => Object(resource)["name"]);
  assert.deepEqual(names(dump.clusters), [
    "xds-grpc",
    "outbound|80|v1|api.default.svc.cluster.local",
    "PassthroughCluster",
  ]);
  assert.deepEqual(names(dump.listeners), ["virtualInbound", "0.0.0.0_80"]);
  assert.deepEqual(names(dump.routes), ["80"]);
  assert.equal(dump.endpoints.length, 1);
  assert.deepEqual(
    dump.dynamic.clusters.map(({ version }) => version),
    ["c1", "c2"],
  );
  assert.deepEqual(
    dump.secrets.map(({ name, state }) => `${name} ${state}`),
    ["default ACTIVE", "ROOTCA WARMING"],
  );
});

test("keys of maps and of free-form structs stay as they are", () => {
  const free = { some_key: { "a_b.c": 1 } };
  assert.deepEqual(
    camelCaseFields({
      "@type": "type.googleapis.com/envoy.x",
      metadata: { filter_metadata: { my_filter: free } },
      node: { user_agent_name: "e", metadata: free },
      typed_per_filter_config: { my_filter: { stat_prefix: "s" } },
      rules: { policies: { a_policy: { and_rules: [] } } },
      shadow: { "@type": "type.googleapis.com/xds.type.v3.TypedStruct", type_url: "t", value: free },
      policies: [{ list_of: 1 }],
      http2_protocol_options: null,
    }),
    {
      "@type": "type.googleapis.com/envoy.x",
      metadata: { filterMetadata: { my_filter: free } },
      node: { userAgentName: "e", metadata: free },
      typedPerFilterConfig: { my_filter: { statPrefix: "s" } },
      rules: { policies: { a_policy: { andRules: [] } } },
      shadow: { "@type": "type.googleapis.com/xds.type.v3.TypedStruct", typeUrl: "t", value: free },
      policies: [{ listOf: 1 }],
      http2ProtocolOptions: null,
    },
  );
});

test("what is no dump has nothing in it", () => {
  for (const value of [null, 1, "x", [], {}, { configs: 1 }, { configs: [null, { "@type": 1 }] }]) {
    const dump = readConfigDump(value);
    assert.deepEqual([...dump.clusters, ...dump.listeners, ...dump.routes, ...dump.secrets], []);
  }
});
