// Logging and time.
import { Status } from "../abi.ts";
import type { WasmVm } from "../vm.ts";
import type { HostFunctions } from "./all.ts";

const TRACE = 0;
const DEBUG = 1;
const INFO = 2;
const WARN = 3;
const CRITICAL = 5;

export function logFunctions(vm: WasmVm): HostFunctions {
  const { services } = vm;
  return {
    proxy_log: (level: number, message: number, length: number): Status => {
      if (level < TRACE || level > CRITICAL) return Status.BadArgument;
      const text = vm.utf8(message, Math.min(length >>> 0, vm.services.limits.maxLogBytes));
      if (text === null) return Status.InvalidMemoryAccess;
      writeLog(vm, level, text);
      return Status.Ok;
    },
    proxy_get_log_level: (levelAt: number): Status => {
      const level = { none: CRITICAL, error: 4, warn: WARN, info: INFO, debug: TRACE }[services.logLevel()];
      return vm.writeU32(levelAt, level) ? Status.Ok : Status.InvalidMemoryAccess;
    },
    proxy_get_current_time_nanoseconds: (timeAt: number): Status =>
      vm.writeU64(timeAt, wallClock(vm)) ? Status.Ok : Status.InvalidMemoryAccess,
    proxy_set_tick_period_milliseconds: (period: number): Status => {
      vm.context?.root.setTickPeriod(period >>> 0);
      return Status.Ok;
    },
  };
}

/** Nanoseconds since the epoch. */
export function wallClock(vm: WasmVm): bigint {
  return BigInt(Math.round(vm.services.loop.clock.now() * 1000)) * 1000n;
}

/** Writes a line in the plugin's name. */
export function writeLog(vm: WasmVm, level: number, text: string): void {
  const { log } = vm.services;
  const { name = "", rootId = "" } = vm.context?.root.settings ?? {};
  const plugin = [name, rootId, vm.options.id].filter((part) => part !== "").join(" ");
  const line = `wasm log${plugin === "" ? "" : ` ${plugin}`}: ${text}`;
  if (level <= DEBUG) log.debug(line);
  else if (level === INFO) log.info(line);
  else if (level === WARN) log.warn(line);
  else log.error(line);
}
