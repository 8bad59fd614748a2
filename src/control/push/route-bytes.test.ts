import assert from "node:assert/strict";
import { test } from "node:test";
import { create, equals, fromBinary, toBinary } from "@bufbuild/protobuf";
import { VirtualHostSchema } from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import { RouteConfigurationSchema } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import { routeConfigurationBytes } from "./route-bytes.ts";

test("the joined bytes mean what the message means, and are the same for the same hosts", () => {
  const hosts = ["a", "b"].map((name) => create(VirtualHostSchema, { name, domains: [`${name}.example.com`] }));
  const configuration = create(RouteConfigurationSchema, {
    name: "80",
    virtualHosts: hosts,
    validateClusters: false,
    ignorePortInHostMatching: true,
  });
  const bytes = routeConfigurationBytes(configuration);
  const read = fromBinary(RouteConfigurationSchema, bytes);
  assert.ok(equals(RouteConfigurationSchema, read, configuration));
  assert.equal(bytes.length, toBinary(RouteConfigurationSchema, configuration).length);
  const again = create(RouteConfigurationSchema, { ...configuration, virtualHosts: [...hosts] });
  assert.deepEqual(routeConfigurationBytes(again), bytes);
});
