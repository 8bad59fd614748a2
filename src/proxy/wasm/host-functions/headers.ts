// Reading and changing lists of headers, trailers and metadata. Which lists there are depends on where the stream, or the
// answer to a call, is at the moment.
import { MapType, Status } from "../abi.ts";
import type { StreamContext } from "../contexts.ts";
import { decodePairs, encodePairs, type Pair } from "../pairs.ts";
import type { HeaderMap } from "../stream-host.ts";
import type { WasmVm } from "../vm.ts";
import type { HostFunctions } from "./all.ts";

export function headerFunctions(vm: WasmVm): HostFunctions {
  const change = (type: number, apply: (map: HeaderMap) => Status): Status => {
    const map = vm.context?.host?.headerMap(type, true) ?? null;
    return map === null ? Status.BadArgument : apply(map);
  };
  const changeOne = (
    type: number,
    [nameAt, nameLength, valueAt, valueLength]: readonly [number, number, number, number],
    apply: (map: HeaderMap, name: string, value: string) => void,
  ): Status =>
    change(type, (map) => {
      const name = vm.latin1(nameAt, nameLength);
      const value = vm.latin1(valueAt, valueLength);
      if (name === null || value === null) return Status.InvalidMemoryAccess;
      if (!isFieldName(name) || !isFieldValue(value)) return Status.BadArgument;
      apply(map, name.toLowerCase(), value);
      return Status.Ok;
    });

  return {
    proxy_get_header_map_value: (
      type: number,
      nameAt: number,
      nameLength: number,
      valueAt: number,
      valueLengthAt: number,
    ): Status => {
      const name = vm.latin1(nameAt, nameLength);
      if (name === null) return Status.InvalidMemoryAccess;
      const pairs = callPairs(vm, type);
      const map = pairs === undefined ? (vm.context?.host?.headerMap(type, false) ?? null) : null;
      if (pairs === null || (pairs === undefined && map === null && !isLogging(vm))) return Status.BadArgument;
      const lowerName = name.toLowerCase();
      const value =
        pairs === undefined ? map?.get(lowerName) : pairs.find(([it]) => it.toLowerCase() === lowerName)?.[1];
      if (value !== undefined) return vm.give(Buffer.from(value, "latin1"), valueAt, valueLengthAt);
      // The first version of the ABI had no way to say that a header is not there.
      return vm.abi === "0.1.0" ? vm.give(Buffer.alloc(0), valueAt, valueLengthAt) : Status.NotFound;
    },
    proxy_get_header_map_pairs: (type: number, pairsAt: number, lengthAt: number): Status => {
      if (!isMapType(type)) return Status.BadArgument;
      const pairs = allPairs(vm, type);
      return vm.give(pairs.length === 0 ? Buffer.alloc(0) : encodePairs(pairs), pairsAt, lengthAt);
    },
    proxy_get_header_map_size: (type: number, sizeAt: number): Status => {
      const pairs = callPairs(vm, type);
      const size =
        pairs === undefined
          ? vm.context?.host?.headerMap(type, false)?.byteSize()
          : pairs?.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
      if (size === undefined) return Status.BadArgument;
      return vm.writeU32(sizeAt, size) ? Status.Ok : Status.InvalidMemoryAccess;
    },
    proxy_set_header_map_pairs: (type: number, pairsAt: number, length: number): Status =>
      change(type, (map) => {
        const bytes = vm.read(pairsAt, length);
        if (bytes === null) return Status.InvalidMemoryAccess;
        const pairs = decodePairs(bytes);
        if (pairs === null || !pairs.every(([name, value]) => isFieldName(name) && isFieldValue(value))) {
          return Status.BadArgument;
        }
        map.replaceAll(pairs.map(([name, value]): Pair => [name.toLowerCase(), value]));
        return Status.Ok;
      }),
    proxy_add_header_map_value: (type: number, n: number, nl: number, v: number, vl: number): Status =>
      changeOne(type, [n, nl, v, vl], (map, name, value) => map.add(name, value)),
    proxy_replace_header_map_value: (type: number, n: number, nl: number, v: number, vl: number): Status =>
      changeOne(type, [n, nl, v, vl], (map, name, value) => map.set(name, value)),
    proxy_remove_header_map_value: (type: number, nameAt: number, nameLength: number): Status =>
      change(type, (map) => {
        const name = vm.latin1(nameAt, nameLength);
        if (name === null) return Status.InvalidMemoryAccess;
        map.remove(name.toLowerCase());
        return Status.Ok;
      }),
  };
}

function isMapType(type: number): boolean {
  return type >= MapType.RequestHeaders && type <= MapType.HttpCallResponseTrailers;
}

/** Lists of the answer that a root context is being told of; undefined for a list of the stream, null for none. */
function callPairs(vm: WasmVm, type: number): readonly Pair[] | null | undefined {
  const root = vm.context?.root;
  switch (type) {
    case MapType.HttpCallResponseHeaders:
      return root?.httpResponse?.headers ?? null;
    case MapType.HttpCallResponseTrailers:
      return root?.httpResponse?.trailers ?? null;
    case MapType.GrpcInitialMetadata:
      return root?.grpcInitialMetadata ?? null;
    case MapType.GrpcTrailingMetadata:
      return root?.grpcTrailingMetadata ?? null;
    default:
      return undefined;
  }
}

function allPairs(vm: WasmVm, type: number): readonly Pair[] {
  const pairs = callPairs(vm, type);
  return pairs === undefined ? (vm.context?.host?.headerMap(type, false)?.pairs() ?? []) : (pairs ?? []);
}

function isLogging(vm: WasmVm): boolean {
  return (vm.context as Partial<StreamContext> | null)?.isLogging === true;
}

/** RFC 9110 5.1, or a pseudo header. */
export function isFieldName(name: string): boolean {
  return /^:?[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name);
}

/** RFC 9110 5.5: a value must not hold NUL, CR or LF, with which a module could write lines of its own. */
export function isFieldValue(value: string): boolean {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code === 0 || code === 10 || code === 13) return false;
  }
  return true;
}
