// WASI preview 1, as far as proxy-wasm has it: output goes to the log, there is time, randomness and the plugin's
// environment, and no files, arguments or sockets. What is not there is answered with the error that WASI has for it,
// so that a standard library can be linked.
import { randomFillSync } from "node:crypto";
import { ModuleExit } from "../module-exit.ts";
import type { WasmVm } from "../vm.ts";
import type { HostFunctions } from "./all.ts";
import { wallClock, writeLog } from "./logging.ts";

const SUCCESS = 0;
const BADF = 8;
const FAULT = 21;
const INVAL = 28;
const NOSYS = 52;
const NOTSUP = 58;
const SPIPE = 70;

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const REALTIME = 0;
const MONOTONIC = 1;
const characterDevice = 2;
const maxRandomBytes = 64 * 1024;

export function wasiFunctions(vm: WasmVm): HostFunctions {
  return {
    fd_write: (fd: number, vectors: number, count: number, writtenAt: number): number => {
      if (fd !== STDOUT && fd !== STDERR) return BADF;
      const bytes = gather(vm, vectors, count >>> 0);
      if (bytes === null) return FAULT;
      const text = bytes.toString("utf8", 0, Math.min(bytes.length, vm.services.limits.maxLogBytes)).trimEnd();
      if (text !== "") writeLog(vm, fd === STDOUT ? 2 : 4, text);
      return vm.writeU32(writtenAt, bytes.length) ? SUCCESS : FAULT;
    },
    fd_read: (fd: number, _vectors: number, _count: number, readAt: number): number => {
      if (fd !== STDIN) return BADF;
      return vm.writeU32(readAt, 0) ? SUCCESS : FAULT;
    },
    fd_seek: (fd: number): number => (isStandard(fd) ? SPIPE : BADF),
    fd_tell: (fd: number): number => (isStandard(fd) ? SPIPE : BADF),
    fd_close: (fd: number): number => (isStandard(fd) ? SUCCESS : BADF),
    fd_fdstat_get: (fd: number, statAt: number): number => {
      if (!isStandard(fd)) return BADF;
      const stat = vm.read(statAt, 24);
      if (stat === null) return FAULT;
      stat.fill(0);
      stat[0] = characterDevice;
      // The right to write, which fd_write asks for in some libraries.
      stat.writeBigUInt64LE(1n << 6n, 8);
      return SUCCESS;
    },
    fd_fdstat_set_flags: (fd: number): number => (isStandard(fd) ? SUCCESS : BADF),
    fd_prestat_get: (): number => BADF,
    fd_prestat_dir_name: (): number => BADF,
    clock_time_get: (clock: number, _precision: bigint, timeAt: number): number => {
      if (clock !== REALTIME && clock !== MONOTONIC) return NOTSUP;
      const time = clock === REALTIME ? wallClock(vm) : process.hrtime.bigint();
      return vm.writeU64(timeAt, time) ? SUCCESS : FAULT;
    },
    clock_res_get: (clock: number, resolutionAt: number): number => {
      if (clock !== REALTIME && clock !== MONOTONIC) return NOTSUP;
      return vm.writeU64(resolutionAt, clock === REALTIME ? 1_000_000n : 1n) ? SUCCESS : FAULT;
    },
    random_get: (at: number, length: number): number => {
      if (length >>> 0 > maxRandomBytes) return INVAL;
      const place = vm.read(at, length);
      if (place === null) return FAULT;
      randomFillSync(place);
      return SUCCESS;
    },
    environ_sizes_get: (countAt: number, sizeAt: number): number => {
      const entries = environmentEntries(vm);
      const size = entries.reduce((sum, entry) => sum + entry.length, 0);
      return vm.writeU32(countAt, entries.length) && vm.writeU32(sizeAt, size) ? SUCCESS : FAULT;
    },
    environ_get: (placesAt: number, textAt: number): number => {
      let place = placesAt >>> 0;
      let text = textAt >>> 0;
      for (const entry of environmentEntries(vm)) {
        const target = vm.read(text, entry.length);
        if (target === null || !vm.writeU32(place, text)) return FAULT;
        target.set(entry);
        place += 4;
        text += entry.length;
      }
      return SUCCESS;
    },
    args_sizes_get: (countAt: number, sizeAt: number): number =>
      vm.writeU32(countAt, 0) && vm.writeU32(sizeAt, 0) ? SUCCESS : FAULT,
    args_get: (): number => SUCCESS,
    proc_exit: (code: number): undefined => {
      throw new ModuleExit(code);
    },
    sched_yield: (): number => SUCCESS,
    ...Object.fromEntries(absent.map((name) => [name, () => NOSYS])),
  };
}

/** Files, sockets, signals and waiting. */
const absent: readonly string[] = [
  "fd_advise",
  "fd_allocate",
  "fd_datasync",
  "fd_fdstat_set_rights",
  "fd_filestat_get",
  "fd_filestat_set_size",
  "fd_filestat_set_times",
  "fd_pread",
  "fd_pwrite",
  "fd_readdir",
  "fd_renumber",
  "fd_sync",
  "path_create_directory",
  "path_filestat_get",
  "path_filestat_set_times",
  "path_link",
  "path_open",
  "path_readlink",
  "path_remove_directory",
  "path_rename",
  "path_symlink",
  "path_unlink_file",
  "poll_oneoff",
  "proc_raise",
  "sock_accept",
  "sock_recv",
  "sock_send",
  "sock_shutdown",
];

function isStandard(fd: number): boolean {
  return fd >= STDIN && fd <= STDERR;
}

/** The bytes of an array of places and lengths. */
function gather(vm: WasmVm, vectors: number, count: number): Buffer | null {
  const list = vm.read(vectors, count * 8);
  if (list === null) return null;
  const parts: Buffer[] = [];
  for (let i = 0; i < count; i++) {
    const part = vm.read(list.readUInt32LE(i * 8), list.readUInt32LE(i * 8 + 4));
    if (part === null) return null;
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function environmentEntries(vm: WasmVm): Buffer[] {
  return [...vm.options.environment].map(([name, value]) => Buffer.from(`${name}=${value}\u0000`, "utf8"));
}
