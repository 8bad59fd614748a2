// Calls that a module makes to other services. Their answers come to the plugin's root context.
import { Status } from "../abi.ts";
import { decodePairs, type Pair } from "../pairs.ts";
import type { WasmVm } from "../vm.ts";
import type { HostFunctions } from "./all.ts";
import { isFieldName, isFieldValue } from "./headers.ts";

export function callFunctions(vm: WasmVm): HostFunctions {
  const { calls, limits } = vm.services;
  const pairsAt = (at: number, length: number): Pair[] | Status => {
    const bytes = vm.read(at, length);
    if (bytes === null) return Status.InvalidMemoryAccess;
    const pairs = decodePairs(bytes);
    if (pairs === null || !pairs.every(([name, value]) => isFieldName(name) && isFieldValue(value))) {
      return Status.BadArgument;
    }
    return pairs.map(([name, value]): Pair => [name.toLowerCase(), value]);
  };
  return {
    proxy_http_call: (
      clusterAt: number,
      clusterLength: number,
      headersAt: number,
      headersLength: number,
      bodyAt: number,
      bodyLength: number,
      trailersAt: number,
      trailersLength: number,
      timeoutMs: number,
      idAt: number,
    ): Status => {
      const cluster = vm.utf8(clusterAt, clusterLength);
      const body = vm.read(bodyAt, bodyLength);
      const headers = pairsAt(headersAt, headersLength);
      const trailers = pairsAt(trailersAt, trailersLength);
      if (cluster === null || body === null) return Status.InvalidMemoryAccess;
      if (typeof headers === "number") return headers;
      if (typeof trailers === "number") return trailers;
      const root = vm.context?.root;
      if (root === undefined || !calls.hasCluster(cluster) || !isComplete(headers) || timeoutMs < 0) {
        return Status.BadArgument;
      }
      if (root.openCalls >= limits.maxCalls || bodyLength >>> 0 > limits.maxHttpCallBytes) {
        return Status.InternalFailure;
      }
      const id = root.nextCallId();
      if (!vm.writeU32(idAt, id)) return Status.InvalidMemoryAccess;
      const request = {
        cluster,
        headers,
        body: Buffer.from(body),
        trailers,
        timeoutMs,
        maxResponseBytes: limits.maxHttpCallBytes,
      };
      const cancel = calls.send(request, (response) =>
        root.onHttpCallEnd(
          id,
          response,
          response === null ? Status.BrokenConnection : 0,
          response === null ? "reset" : "",
        ),
      );
      root.addCall(id, cancel);
      return Status.Ok;
    },
    proxy_get_status: (codeAt: number, messageAt: number, messageLengthAt: number): Status => {
      const { statusCode = 0, statusMessage = "" } = vm.context?.root ?? {};
      if (!vm.writeU32(codeAt, statusCode)) return Status.InvalidMemoryAccess;
      return vm.give(Buffer.from(statusMessage, "utf8"), messageAt, messageLengthAt);
    },
  };
}

function isComplete(headers: readonly Pair[]): boolean {
  return [":method", ":path", ":authority"].every((name) => headers.some(([it]) => it === name));
}
