// What a module decides about its stream: to go on, to close it, to answer it; and about its context.
import { Status, StreamType } from "../abi.ts";
import { decodePairs, type Pair } from "../pairs.ts";
import type { StreamHost } from "../stream-host.ts";
import type { WasmVm } from "../vm.ts";
import type { HostFunctions } from "./all.ts";
import { isFieldName, isFieldValue } from "./headers.ts";

export function streamFunctions(vm: WasmVm): HostFunctions {
  const goOn = (type: number): Status => later(vm, type, (host) => host.continueStream(type));
  return {
    proxy_continue_stream: goOn,
    proxy_continue_request: (): Status => goOn(StreamType.Request),
    proxy_continue_response: (): Status => goOn(StreamType.Response),
    proxy_close_stream: (type: number): Status => later(vm, type, (host) => host.closeStream(type)),
    proxy_send_local_response: (
      status: number,
      detailsAt: number,
      detailsLength: number,
      bodyAt: number,
      bodyLength: number,
      headersAt: number,
      headersLength: number,
      grpcStatus: number,
    ): Status => {
      const details = vm.latin1(detailsAt, detailsLength);
      const body = vm.read(bodyAt, bodyLength);
      const headerBytes = vm.read(headersAt, headersLength);
      if (details === null || body === null || headerBytes === null) return Status.InvalidMemoryAccess;
      const headers = decodePairs(headerBytes);
      if (headers === null || !headers.every(([name, value]) => isFieldName(name) && isFieldValue(value))) {
        return Status.BadArgument;
      }
      if (status < 200 || status > 999) return Status.BadArgument;
      const host = vm.context?.host;
      if (host === undefined || host === null) return Status.BadArgument;
      const lowerHeaders = headers.map(([name, value]): Pair => [name.toLowerCase(), value]);
      const reply = { status, details, body: Buffer.from(body), headers: lowerHeaders, grpcStatus };
      vm.afterCall(() => host.sendLocalReply(reply));
      return Status.Ok;
    },
    proxy_clear_route_cache: (): Status => {
      vm.context?.host?.clearRouteCache();
      return Status.Ok;
    },
    proxy_set_effective_context: (id: number): Status => (vm.chooseContext(id >>> 0) ? Status.Ok : Status.BadArgument),
    proxy_done: (): Status => (vm.context?.finish() === true ? Status.Ok : Status.NotFound),
    proxy_call_foreign_function: (
      nameAt: number,
      nameLength: number,
      argumentsAt: number,
      argumentsLength: number,
      resultAt: number,
      resultLengthAt: number,
    ): Status => {
      const name = vm.utf8(nameAt, nameLength);
      if (name === null || vm.read(argumentsAt, argumentsLength) === null) return Status.InvalidMemoryAccess;
      if (name !== "clear_route_cache") return Status.NotFound;
      vm.context?.host?.clearRouteCache();
      // The results are optional, and so is where to put them.
      return resultAt === 0 || resultLengthAt === 0 ? Status.Ok : vm.give(Buffer.alloc(0), resultAt, resultLengthAt);
    },
  };
}

function later(vm: WasmVm, type: number, act: (host: StreamHost) => void): Status {
  if (type < StreamType.Request || type > StreamType.Upstream) return Status.BadArgument;
  const host = vm.context?.host;
  if (host === undefined || host === null) return Status.Unimplemented;
  vm.afterCall(() => act(host));
  return Status.Ok;
}
