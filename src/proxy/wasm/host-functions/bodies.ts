// Reading and changing bodies, and reading what is handed to a callback: configurations and answers.
import { BufferType, Status } from "../abi.ts";
import type { BodyBuffer } from "../stream-host.ts";
import type { WasmVm } from "../vm.ts";
import type { HostFunctions } from "./all.ts";

export function bodyFunctions(vm: WasmVm): HostFunctions {
  return {
    proxy_get_buffer_bytes: (
      type: number,
      start: number,
      length: number,
      bytesAt: number,
      lengthAt: number,
    ): Status => {
      const first = start >>> 0;
      if (first + (length >>> 0) > 0xffffffff) return Status.BadArgument;
      const stream = streamBuffer(vm, type);
      const fixed = stream === null ? fixedBuffer(vm, type) : null;
      const size = stream?.length ?? fixed?.length;
      if (size === undefined) return isBufferType(type) ? Status.NotFound : Status.BadArgument;
      const end = Math.min(first + (length >>> 0), size);
      const bytes =
        first >= end ? Buffer.alloc(0) : stream === null ? fixed!.subarray(first, end) : stream.slice(first, end);
      return vm.give(bytes, bytesAt, lengthAt);
    },
    proxy_get_buffer_status: (type: number, lengthAt: number, flagsAt: number): Status => {
      const size = streamBuffer(vm, type)?.length ?? fixedBuffer(vm, type)?.length;
      if (size === undefined) return isBufferType(type) ? Status.NotFound : Status.BadArgument;
      return vm.writeU32(lengthAt, size) && vm.writeU32(flagsAt, 0) ? Status.Ok : Status.InvalidMemoryAccess;
    },
    proxy_set_buffer_bytes: (
      type: number,
      start: number,
      length: number,
      bytesAt: number,
      bytesLength: number,
    ): Status => {
      const buffer = streamBuffer(vm, type);
      if (buffer === null) return fixedBuffer(vm, type) === null ? Status.NotFound : Status.BadArgument;
      const bytes = vm.read(bytesAt, bytesLength);
      if (bytes === null) return Status.InvalidMemoryAccess;
      const first = Math.min(start >>> 0, buffer.length);
      const end = Math.min(first + (length >>> 0), buffer.length);
      buffer.splice(first, end, Buffer.from(bytes));
      return Status.Ok;
    },
    /** ABI 0.1.0: the configuration of whatever is being configured. */
    proxy_get_configuration: (bytesAt: number, lengthAt: number): Status => {
      const root = vm.context?.root;
      const bytes = root?.isConfiguring === true ? root.settings.configuration : vm.options.configuration;
      return vm.give(bytes, bytesAt, lengthAt);
    },
  };
}

function isBufferType(type: number): boolean {
  return type >= BufferType.RequestBody && type <= BufferType.CallData;
}

function streamBuffer(vm: WasmVm, type: number): BodyBuffer | null {
  return type <= BufferType.UpstreamData ? (vm.context?.host?.bodyBuffer(type) ?? null) : null;
}

function fixedBuffer(vm: WasmVm, type: number): Buffer | null {
  const root = vm.context?.root;
  switch (type) {
    case BufferType.VmConfiguration:
      return vm.options.configuration;
    case BufferType.PluginConfiguration:
      return root?.isConfiguring === true ? root.settings.configuration : null;
    case BufferType.HttpCallResponseBody:
      return root?.httpResponse?.body ?? null;
    case BufferType.GrpcMessage:
      return root?.grpcMessage ?? null;
    default:
      return null;
  }
}
