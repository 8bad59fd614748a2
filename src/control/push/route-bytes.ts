// A route configuration as bytes, joined of the bytes of its virtual hosts: each host is encoded once, however many
// configurations it stands in. Hosts whose names end alike come together, so that what configurations have in common is
// whole pieces of them: seen from one namespace only the hosts of that namespace are others than seen from elsewhere.
import { toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { type VirtualHost, VirtualHostSchema } from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import { type RouteConfiguration, RouteConfigurationSchema } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import { nextSerial, type Part, type Piece, pieceOf } from "./pieces.ts";

const virtualHostsField = RouteConfigurationSchema.field.virtualHosts.number;

interface HostPart extends Part {
  /** Hash of the host's domain. */
  readonly domain: number;
}

const parts = new WeakMap<VirtualHost, HostPart>();

export interface RouteConfigurationBytes {
  /** Everything but the hosts. */
  readonly head: Uint8Array;
  /** The hosts. */
  readonly pieces: readonly Piece[];
}

/** Repeated fields may stand apart from each other and after any other: the hosts come last. Their order means nothing. */
export function routeConfigurationBytes(configuration: RouteConfiguration): RouteConfigurationBytes {
  const { virtualHosts } = configuration;
  const count = pieceCount(virtualHosts.length);
  const groups: Part[][] = Array.from({ length: count }, () => []);
  for (const host of virtualHosts) {
    const part = partOf(host);
    groups[part.domain % count]?.push(part);
  }
  return {
    head: toBinary(RouteConfigurationSchema, { ...configuration, virtualHosts: [] }),
    pieces: groups.flatMap((group) => (group.length === 0 ? [] : [pieceOf(group)])),
  };
}

const hostsOfPiece = 64;

/** Seldom changes as hosts come and go. */
function pieceCount(hosts: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, hosts / hostsOfPiece)));
}

/** With tag and length. */
function partOf(host: VirtualHost): HostPart {
  let part = parts.get(host);
  if (part === undefined) {
    const writer = new BinaryWriter().tag(virtualHostsField, WireType.LengthDelimited);
    const bytes = writer.bytes(toBinary(VirtualHostSchema, host)).finish();
    const domain = hashOf(host.name.slice(host.name.indexOf(".") + 1));
    part = { bytes, length: bytes.length, serial: nextSerial(), domain };
    parts.set(host, part);
  }
  return part;
}

/** FNV-1a. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}
