// Shared values and queues.
import { Status } from "../abi.ts";
import type { WasmVm } from "../vm.ts";
import type { HostFunctions } from "./all.ts";

export function sharedFunctions(vm: WasmVm): HostFunctions {
  const { data, queues } = vm.services;
  const vmId = vm.options.id;
  return {
    proxy_get_shared_data: (
      keyAt: number,
      keyLength: number,
      valueAt: number,
      valueLengthAt: number,
      casAt: number,
    ): Status => {
      const key = vm.latin1(keyAt, keyLength);
      if (key === null) return Status.InvalidMemoryAccess;
      const value = data.get(vmId, key);
      if (value === undefined) return Status.NotFound;
      const given = vm.give(value.bytes, valueAt, valueLengthAt);
      if (given !== Status.Ok) return given;
      return vm.writeU32(casAt, value.cas) ? Status.Ok : Status.InvalidMemoryAccess;
    },
    proxy_set_shared_data: (
      keyAt: number,
      keyLength: number,
      valueAt: number,
      valueLength: number,
      cas: number,
    ): Status => {
      const key = vm.latin1(keyAt, keyLength);
      const value = vm.read(valueAt, valueLength);
      if (key === null || value === null) return Status.InvalidMemoryAccess;
      return data.set(vmId, key, Buffer.from(value), cas >>> 0);
    },
    proxy_register_shared_queue: (nameAt: number, nameLength: number, tokenAt: number): Status => {
      const name = vm.latin1(nameAt, nameLength);
      const root = vm.context?.root;
      if (name === null) return Status.InvalidMemoryAccess;
      const token = root === undefined ? 0 : queues.register(vmId, name, root);
      if (token === 0) return Status.InternalFailure;
      return vm.writeU32(tokenAt, token) ? Status.Ok : Status.InvalidMemoryAccess;
    },
    proxy_resolve_shared_queue: (
      vmIdAt: number,
      vmIdLength: number,
      nameAt: number,
      nameLength: number,
      tokenAt: number,
    ): Status => {
      const otherVmId = vm.utf8(vmIdAt, vmIdLength);
      const name = vm.latin1(nameAt, nameLength);
      if (otherVmId === null || name === null) return Status.InvalidMemoryAccess;
      const token = queues.resolve(otherVmId, name);
      if (token === undefined) return Status.NotFound;
      return vm.writeU32(tokenAt, token) ? Status.Ok : Status.InvalidMemoryAccess;
    },
    proxy_enqueue_shared_queue: (token: number, valueAt: number, valueLength: number): Status => {
      const value = vm.read(valueAt, valueLength);
      return value === null ? Status.InvalidMemoryAccess : queues.enqueue(token >>> 0, Buffer.from(value));
    },
    proxy_dequeue_shared_queue: (token: number, valueAt: number, valueLengthAt: number): Status => {
      const item = queues.dequeue(token >>> 0);
      return typeof item === "number" ? item : vm.give(item, valueAt, valueLengthAt);
    },
  };
}
