// Metrics of the module's own.
import { MetricType, Status } from "../abi.ts";
import type { WasmVm } from "../vm.ts";
import type { HostFunctions } from "./all.ts";

export function metricFunctions(vm: WasmVm): HostFunctions {
  const { metrics } = vm.services;
  return {
    proxy_define_metric: (type: number, nameAt: number, nameLength: number, idAt: number): Status => {
      if (type < MetricType.Counter || type > MetricType.Histogram) return Status.BadArgument;
      const name = vm.utf8(nameAt, nameLength);
      if (name === null) return Status.InvalidMemoryAccess;
      const id = metrics.define(type, name);
      if (id === 0) return Status.InternalFailure;
      return vm.writeU32(idAt, id) ? Status.Ok : Status.InvalidMemoryAccess;
    },
    proxy_increment_metric: (id: number, by: bigint): Status => metrics.increment(id >>> 0, Number(by)),
    proxy_record_metric: (id: number, value: bigint): Status =>
      metrics.record(id >>> 0, Number(BigInt.asUintN(64, value))),
    proxy_get_metric: (id: number, valueAt: number): Status => {
      const value = metrics.value(id >>> 0);
      if (value === undefined) return Status.NotFound;
      if (value === null) return Status.BadArgument;
      return vm.writeU64(valueAt, BigInt(value)) ? Status.Ok : Status.InvalidMemoryAccess;
    },
  };
}
