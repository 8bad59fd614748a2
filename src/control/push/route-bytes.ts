// A route configuration as bytes, joined of the bytes of its virtual hosts: each host is encoded once, however many
// configurations it stands in.
import { toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { type VirtualHost, VirtualHostSchema } from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import { type RouteConfiguration, RouteConfigurationSchema } from "#wire/gen/envoy/config/route/v3/route_pb.ts";

const virtualHostsField = RouteConfigurationSchema.field.virtualHosts.number;

const fields = new WeakMap<VirtualHost, Uint8Array>();

/** Repeated fields may stand apart from each other and after any other: the hosts come last. */
export function routeConfigurationBytes(configuration: RouteConfiguration): Uint8Array {
  const rest = toBinary(RouteConfigurationSchema, { ...configuration, virtualHosts: [] });
  return Buffer.concat([rest, ...configuration.virtualHosts.map(virtualHostField)]);
}

/** With tag and length. */
function virtualHostField(host: VirtualHost): Uint8Array {
  let bytes = fields.get(host);
  if (bytes === undefined) {
    const writer = new BinaryWriter().tag(virtualHostsField, WireType.LengthDelimited);
    bytes = writer.bytes(toBinary(VirtualHostSchema, host)).finish();
    fields.set(host, bytes);
  }
  return bytes;
}
