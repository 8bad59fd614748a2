// What compilers import beside the ABI: AssemblyScript's abort and seed, Emscripten's leftovers.
import { engine } from "../engine.ts";
import type { WasmVm } from "../vm.ts";
import type { HostFunctions } from "./all.ts";
import { writeLog } from "./logging.ts";

export function environmentFunctions(vm: WasmVm): HostFunctions {
  let highBits = 0;
  return {
    abort: (messageAt = 0, fileAt = 0, line = 0, column = 0): number => {
      const text = assemblyScriptText(vm, messageAt);
      const place = `${assemblyScriptText(vm, fileAt)}:${line}:${column}`;
      writeLog(vm, 4, `abort: ${text} at ${place}`);
      throw new engine.RuntimeError(text === "" ? "abort" : `abort: ${text}`);
    },
    emscripten_notify_memory_growth: (): undefined => undefined,
    setTempRet0: (value: number): undefined => {
      highBits = value;
    },
    getTempRet0: (): number => highBits,
  };
}

/** AssemblyScript's strings are UTF-16 with the length in bytes before them. */
function assemblyScriptText(vm: WasmVm, at: number): string {
  const length = at >= 4 ? vm.read(at - 4, 4)?.readUInt32LE() : undefined;
  return length === undefined ? "" : (vm.read(at, Math.min(length, 1024))?.toString("utf16le") ?? "");
}
