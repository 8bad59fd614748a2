// Properties by path: Envoy's attributes of the stream, facts about the plugin, and what plugins set themselves. The
// parts of a path are separated by NUL.
import { Status } from "../abi.ts";
import { encodeProperty, type PropertyValue, propertyAt } from "../properties.ts";
import type { WasmVm } from "../vm.ts";
import type { HostFunctions } from "./all.ts";

export function propertyFunctions(vm: WasmVm): HostFunctions {
  return {
    proxy_get_property: (pathAt: number, pathLength: number, valueAt: number, valueLengthAt: number): Status => {
      const path = vm.utf8(pathAt, pathLength);
      if (path === null) return Status.InvalidMemoryAccess;
      const parts = path.split("\u0000");
      // Some SDKs end the last part with a NUL too.
      if (parts.at(-1) === "") parts.pop();
      const [first = "", ...rest] = parts;
      const value = propertyAt(ownProperty(vm, first) ?? vm.context?.host?.property(first), rest);
      if (value === undefined) return Status.NotFound;
      const encoded = encodeProperty(value);
      return encoded === null ? Status.SerializationFailure : vm.give(encoded, valueAt, valueLengthAt);
    },
    proxy_set_property: (pathAt: number, pathLength: number, valueAt: number, valueLength: number): Status => {
      const path = vm.utf8(pathAt, pathLength);
      const value = vm.read(valueAt, valueLength);
      if (path === null || value === null) return Status.InvalidMemoryAccess;
      const isSet = vm.context?.host?.setProperty(path, Buffer.from(value)) ?? false;
      return isSet ? Status.Ok : Status.NotFound;
    },
  };
}

/** What is known without a stream. */
function ownProperty(vm: WasmVm, name: string): PropertyValue | undefined {
  const settings = vm.context?.root.settings;
  switch (name) {
    case "plugin_name":
      return settings?.name;
    case "plugin_root_id":
      return settings?.rootId;
    case "plugin_vm_id":
      return vm.options.id;
    case "node":
      return vm.services.node;
    default:
      return undefined;
  }
}
