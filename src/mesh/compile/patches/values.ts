// What a patch's value does to a message.
import { clone, type DescMessage, type Message } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { TransportSocket } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import { Operation } from "../../kinds/envoy-filter/spec.ts";
import { isMerge } from "../../kinds/envoy-filter/validate.ts";
import { mergeAny, mergeInto } from "./merge.ts";
import type { ReadyPatch } from "./patch-set.ts";

/** True when both say how to use the same kind of socket, and these settings were merged. */
export function mergeTransportSocket(
  target: TransportSocket | undefined,
  source: TransportSocket | undefined,
  patch: ReadyPatch,
): boolean {
  if (target === undefined || source === undefined || target.name !== source.name) return false;
  const [into, from] = [configOf(target), configOf(source)];
  const merged = into === undefined || from === undefined ? undefined : mergeAny(into, from, optionsOf(patch));
  if (merged !== undefined) target.configType = { case: "typedConfig", value: merged };
  return true;
}

function configOf(socket: TransportSocket): Any | undefined {
  return socket.configType.case === "typedConfig" ? socket.configType.value : undefined;
}

export function mergeValue(schema: DescMessage, target: Message, patch: ReadyPatch): boolean {
  if (!isMerge(patch.operation) || patch.value === undefined) return false;
  mergeInto(schema, target, patch.value, optionsOf(patch));
  return true;
}

export function optionsOf({ operation }: ReadyPatch): { readonly replaceLists: boolean } {
  return { replaceLists: operation === Operation.MergeAndReplaceList };
}

export function copyOf<Desc extends DescMessage>(schema: Desc, { value }: ReadyPatch): ReturnType<typeof clone<Desc>> {
  return clone(schema, value as never);
}
