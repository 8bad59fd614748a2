// Everything that a module can import, by namespace. Functions that the plugin's capability restriction leaves out stay
// there and answer that they are not allowed, because a module imports them whether it calls them or not.
import type { WasmVm } from "../vm.ts";
import { bodyFunctions } from "./bodies.ts";
import { callFunctions } from "./calls.ts";
import { environmentFunctions } from "./environment.ts";
import { grpcFunctions } from "./grpc.ts";
import { headerFunctions } from "./headers.ts";
import { logFunctions } from "./logging.ts";
import { metricFunctions } from "./metrics.ts";
import { propertyFunctions } from "./properties.ts";
import { sharedFunctions } from "./shared.ts";
import { streamFunctions } from "./streams.ts";
import { wasiFunctions } from "./wasi.ts";

/** Integers of 64 bits are bigints. */
type HostFunction = (...values: never[]) => number | bigint | undefined;
export type HostFunctions = Readonly<Record<string, HostFunction>>;

export function hostFunctions(vm: WasmVm): ReadonlyMap<string, HostFunctions> {
  const proxy: HostFunctions = {
    ...logFunctions(vm),
    ...headerFunctions(vm),
    ...bodyFunctions(vm),
    ...streamFunctions(vm),
    ...callFunctions(vm),
    ...grpcFunctions(vm),
    ...sharedFunctions(vm),
    ...metricFunctions(vm),
    ...propertyFunctions(vm),
  };
  const wasi = wasiFunctions(vm);
  const allowed = vm.options.allowedCapabilities;
  const restrict = (functions: HostFunctions, answer: number): HostFunctions =>
    allowed === null
      ? functions
      : Object.fromEntries(
          Object.entries(functions).map(([name, it]) => [name, allowed.has(name) ? it : refuse(vm, name, answer)]),
        );
  const restrictedWasi = restrict(wasi, notCapable);
  return new Map<string, HostFunctions>([
    ["env", { ...restrict(proxy, internalFailure), ...environmentFunctions(vm) }],
    ["wasi_snapshot_preview1", restrictedWasi],
    ["wasi_unstable", restrictedWasi],
  ]);
}

/** `proxy_status_t` INTERNAL_FAILURE, and WASI's ENOTCAPABLE. */
const internalFailure = 10;
const notCapable = 76;

function refuse(vm: WasmVm, name: string, answer: number): HostFunction {
  let isTold = false;
  return () => {
    if (!isTold)
      vm.services.log.warn(`a plugin of VM "${vm.options.id}" called ${name}, which is not among its capabilities`);
    isTold = true;
    return answer;
  };
}
