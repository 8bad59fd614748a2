// From the Any of a discovery response to the runtime shape, by resource type. The name on the envelope must be the
// name inside.
import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { type Cluster, ClusterSchema } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { type TypedExtensionConfig, TypedExtensionConfigSchema } from "#wire/gen/envoy/config/core/v3/extension_pb.ts";
import {
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
} from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { type Listener, ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import { type RouteConfiguration, RouteConfigurationSchema } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import type { ClusterConfig, EndpointSet } from "../config/cluster.ts";
import { decodeCluster } from "../config/decode-cluster.ts";
import { decodeEndpoints } from "../config/decode-endpoints.ts";
import { decodeExtension } from "../config/decode-extension.ts";
import { decodeListener } from "../config/decode-listener.ts";
import { decodeRoute } from "../config/decode-route.ts";
import type { ExtensionConfig } from "../config/extension.ts";
import type { RouteConfig } from "../config/http.ts";
import type { ListenerConfig } from "../config/listener.ts";
import { typeName } from "../config/parse/values.ts";
import { type Decoded, Problems } from "../config/problems.ts";

type DecodeAny<T> = (any: Any, name: string) => Decoded<T>;

export const decodeAny: {
  readonly cluster: DecodeAny<ClusterConfig>;
  readonly endpoint: DecodeAny<EndpointSet>;
  readonly listener: DecodeAny<ListenerConfig>;
  readonly route: DecodeAny<RouteConfig>;
  readonly extension: DecodeAny<ExtensionConfig>;
} = {
  cluster: decoder("cluster", ClusterSchema, (it: Cluster) => it.name, decodeCluster),
  endpoint: decoder(
    "endpoints",
    ClusterLoadAssignmentSchema,
    (it: ClusterLoadAssignment) => it.clusterName,
    decodeEndpoints,
  ),
  listener: decoder("listener", ListenerSchema, (it: Listener) => it.name, decodeListener),
  route: decoder("route", RouteConfigurationSchema, (it: RouteConfiguration) => it.name, decodeRoute),
  extension: decoder("extension", TypedExtensionConfigSchema, (it: TypedExtensionConfig) => it.name, decodeExtension),
};

function decoder<Desc extends DescMessage, T>(
  kind: string,
  schema: Desc,
  nameOf: (message: MessageShape<Desc>) => string,
  decode: (message: MessageShape<Desc>) => Decoded<T>,
): DecodeAny<T> {
  return (any, name) => {
    const problems = new Problems(kind, name);
    if (typeName(any) !== schema.typeName) {
      problems.invalid("resource", `${typeName(any)} is not ${schema.typeName}`);
      return problems.done<T>(null);
    }
    let message: MessageShape<Desc>;
    try {
      message = fromBinary(schema, any.value);
    } catch {
      problems.invalid("resource", `the bytes are not a ${schema.typeName}`);
      return problems.done<T>(null);
    }
    if (nameOf(message) !== name) {
      problems.invalid("name", `"${nameOf(message)}" differs from the name of the resource`);
      return problems.done<T>(null);
    }
    try {
      return decode(message);
    } catch (error) {
      // A mistake of ours must not end the stream, over which the same resource would come again and again.
      problems.invalid("resource", `${brokenDecoder}: ${error instanceof Error ? error.message : String(error)}`);
      return problems.done<T>(null);
    }
  };
}

/** What a refusal says that is the proxy's fault. Random input must never lead to it (test/fuzz). */
export const brokenDecoder = "this proxy fails to read it";
