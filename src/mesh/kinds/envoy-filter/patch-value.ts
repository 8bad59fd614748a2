// The Envoy message that a patch carries.
import { type DescMessage, fromJson, isMessage, type JsonObject, type Message } from "@bufbuild/protobuf";
import { describeError } from "#base/error.ts";
import { BootstrapSchema } from "#wire/gen/envoy/config/bootstrap/v3/bootstrap_pb.ts";
import { ClusterSchema } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { TypedExtensionConfigSchema } from "#wire/gen/envoy/config/core/v3/extension_pb.ts";
import {
  FilterChainSchema,
  FilterSchema,
  ListenerFilterSchema,
} from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import { ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import { RouteSchema, VirtualHostSchema } from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import { RouteConfigurationSchema } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import { HttpFilterSchema } from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { envoyTypes } from "../../objects/envoy-types.ts";
import { ApplyTo } from "./spec.ts";
import { withoutTypedStructs } from "./typed-struct.ts";

/** The message that each place of a patch takes. */
const patchedMessage: Readonly<Record<Exclude<ApplyTo, "INVALID">, DescMessage>> = {
  [ApplyTo.Listener]: ListenerSchema,
  [ApplyTo.FilterChain]: FilterChainSchema,
  [ApplyTo.NetworkFilter]: FilterSchema,
  [ApplyTo.HttpFilter]: HttpFilterSchema,
  [ApplyTo.RouteConfiguration]: RouteConfigurationSchema,
  [ApplyTo.VirtualHost]: VirtualHostSchema,
  [ApplyTo.HttpRoute]: RouteSchema,
  [ApplyTo.Cluster]: ClusterSchema,
  [ApplyTo.ExtensionConfig]: TypedExtensionConfigSchema,
  [ApplyTo.Bootstrap]: BootstrapSchema,
  [ApplyTo.ListenerFilter]: ListenerFilterSchema,
};

interface ReadValue {
  /** Undefined when the value is not such a message at all. */
  readonly message: Message | undefined;
  /** What is wrong with it; with a message, only fields that nobody knows. */
  readonly problem: string | undefined;
}

/** Names of the filters in a message that say neither what they are nor where to ask for it. */
export function filtersWithoutConfig(message: Message): readonly string[] {
  const isFilter = [FilterSchema, HttpFilterSchema, ListenerFilterSchema].some((schema) => isMessage(message, schema));
  if (!isFilter) return [];
  const { name, configType } = message as Message & { name: string; configType: { case: string | undefined } };
  return configType.case === undefined ? [name] : [];
}

const read = new WeakMap<JsonObject, ReadValue>();

/**
 * Reads the JSON of a message, fields named in either of protobuf's ways. Fields that the message does not have are a
 * problem and left out, because an Envoy of another version may know them (as istiod does).
 */
export function readPatchValue(applyTo: Exclude<ApplyTo, "INVALID">, value: JsonObject): ReadValue {
  let result = read.get(value);
  if (result === undefined) {
    result = readValue(patchedMessage[applyTo], value);
    read.set(value, result);
  }
  return result;
}

function readValue(schema: DescMessage, written: JsonObject): ReadValue {
  const registry = envoyTypes();
  const value = withoutTypedStructs(written, registry);
  try {
    return { message: fromJson(schema, value, { registry }), problem: undefined };
  } catch (error) {
    const problem = describeError(error);
    try {
      return { message: fromJson(schema, value, { registry, ignoreUnknownFields: true }), problem };
    } catch {
      return { message: undefined, problem };
    }
  }
}
