import assert from "node:assert/strict";
import { test } from "node:test";
import { create, equals, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type VirtualHost, VirtualHostSchema } from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import { type RouteConfiguration, RouteConfigurationSchema } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import { routeConfigurationBytes } from "./route-bytes.ts";

test("the joined bytes mean what the message means, and are the same for the same hosts", () => {
  const hosts = ["a", "b"].map((name) => create(VirtualHostSchema, { name, domains: [`${name}.example.com`] }));
  const configuration = create(RouteConfigurationSchema, {
    name: "80",
    virtualHosts: hosts,
    validateClusters: false,
    ignorePortInHostMatching: true,
  });
  const bytes = joined(configuration);
  const read = fromBinary(RouteConfigurationSchema, bytes);
  assert.ok(equals(RouteConfigurationSchema, read, configuration));
  assert.equal(bytes.length, toBinary(RouteConfigurationSchema, configuration).length);
  const again = create(RouteConfigurationSchema, { ...configuration, virtualHosts: [...hosts] });
  assert.deepEqual(joined(again), bytes);
});

test("seen from two namespaces only the pieces of their own hosts differ", () => {
  const foreign = hostsOf(20);
  const from = (namespace: string): RouteConfiguration =>
    create(RouteConfigurationSchema, {
      name: "80",
      virtualHosts: foreign.map((host) =>
        host.name.endsWith(`.${namespace}`) ? create(VirtualHostSchema, { ...host, domains: ["short"] }) : host,
      ),
    });
  const [a, b] = [routeConfigurationBytes(from("ns-1")).pieces, routeConfigurationBytes(from("ns-2")).pieces];
  assert.ok(a.length > 4 && a.length === b.length);
  const different = a.filter((piece, index) => piece !== b[index]);
  assert.ok(different.length > 0 && different.length <= 2);
  assert.deepEqual(
    different.some((piece) => piece.bytes.includes("short")),
    true,
  );
});

test("a host that comes changes the piece in which it stands", () => {
  const hosts = hostsOf(20);
  const before = routeConfigurationBytes(create(RouteConfigurationSchema, { virtualHosts: hosts })).pieces;
  const more = [create(VirtualHostSchema, { name: "a.ns-7", domains: ["a"] }), ...hosts];
  const after = routeConfigurationBytes(create(RouteConfigurationSchema, { virtualHosts: more })).pieces;
  assert.equal(after.filter((piece, index) => piece !== before[index]).length, 1);
});

/** Of 20 namespaces. */
function hostsOf(each: number): VirtualHost[] {
  return Array.from({ length: 20 * each }, (_, index) =>
    create(VirtualHostSchema, { name: `host-${index}.ns-${index % 20}`, domains: [`host-${index}`] }),
  );
}

function joined(configuration: RouteConfiguration): Buffer {
  const { head, pieces } = routeConfigurationBytes(configuration);
  return Buffer.concat([head, ...pieces.map(({ bytes }) => bytes)]);
}
