// gRPC calls and streams of a module. What comes back goes to the plugin's root context.
import { fromBinary } from "@bufbuild/protobuf";
import { GrpcServiceSchema } from "#wire/gen/envoy/config/core/v3/grpc_service_pb.ts";
import { Status } from "../abi.ts";
import type { RootContext } from "../contexts.ts";
import type { GrpcCallRequest } from "../grpc-calls.ts";
import { decodePairs, type Pair } from "../pairs.ts";
import type { WasmVm } from "../vm.ts";
import type { HostFunctions } from "./all.ts";
import { isFieldName, isFieldValue } from "./headers.ts";

export function grpcFunctions(vm: WasmVm): HostFunctions {
  const { limits } = vm.services;
  return {
    proxy_grpc_call: (...values: number[]): Status => {
      // The SDKs of the older versions pass no metadata.
      const rest = values.length > 10 ? values.slice(6) : [0, 0, ...values.slice(6)];
      const [metadataAt = 0, metadataLength = 0, messageAt = 0, messageLength = 0, timeoutMs = 0, idAt = 0] = rest;
      const message = vm.read(messageAt, messageLength);
      if (message === null) return Status.InvalidMemoryAccess;
      if (message.length > limits.maxGrpcMessageBytes) return Status.InternalFailure;
      const copy = Buffer.from(message);
      const request = readRequest(vm, values, [metadataAt, metadataLength], timeoutMs >>> 0);
      if (typeof request === "number") return request;
      return begin(vm, idAt, (root, id) => root.startGrpc(id, request, false).send(copy, true));
    },
    proxy_grpc_stream: (...values: number[]): Status => {
      const rest = values.length > 7 ? values.slice(6) : [0, 0, ...values.slice(6)];
      const [metadataAt = 0, metadataLength = 0, idAt = 0] = rest;
      const request = readRequest(vm, values, [metadataAt, metadataLength], 0);
      if (typeof request === "number") return request;
      return begin(vm, idAt, (root, id) => void root.startGrpc(id, request, true));
    },
    proxy_grpc_send: (id: number, messageAt: number, messageLength: number, isLast: number): Status => {
      const message = vm.read(messageAt, messageLength);
      if (message === null) return Status.InvalidMemoryAccess;
      const entry = vm.context?.root.grpcCall(id >>> 0);
      if (entry === undefined) return Status.NotFound;
      if (!entry.isStream) return Status.BadArgument;
      if (message.length > limits.maxGrpcMessageBytes) return Status.InternalFailure;
      entry.call.send(Buffer.from(message), isLast !== 0);
      return Status.Ok;
    },
    proxy_grpc_cancel: (id: number): Status => {
      const root = vm.context?.root;
      if (root?.grpcCall(id >>> 0) === undefined) return Status.NotFound;
      root.cancelGrpc(id >>> 0);
      return Status.Ok;
    },
    proxy_grpc_close: (id: number): Status => {
      const root = vm.context?.root;
      const entry = root?.grpcCall(id >>> 0);
      if (root === undefined || entry === undefined) return Status.NotFound;
      if (entry.isStream) entry.call.endRequest();
      else root.cancelGrpc(id >>> 0);
      return Status.Ok;
    },
  };
}

function begin(vm: WasmVm, idAt: number, start: (root: RootContext, id: number) => void): Status {
  const root = vm.context?.root;
  if (root === undefined || root.openCalls >= vm.services.limits.maxCalls) return Status.InternalFailure;
  const id = root.nextCallId();
  if (!vm.writeU32(idAt, id)) return Status.InvalidMemoryAccess;
  start(root, id);
  return Status.Ok;
}

function readRequest(
  vm: WasmVm,
  [
    upstreamAt = 0,
    upstreamLength = 0,
    serviceAt = 0,
    serviceLength = 0,
    methodAt = 0,
    methodLength = 0,
  ]: readonly number[],
  [metadataAt, metadataLength]: readonly [number, number],
  timeoutMs: number,
): GrpcCallRequest | Status {
  const upstream = vm.read(upstreamAt, upstreamLength);
  const service = vm.latin1(serviceAt, serviceLength);
  const method = vm.latin1(methodAt, methodLength);
  const metadataBytes = vm.read(metadataAt, metadataLength);
  if (upstream === null || service === null || method === null || metadataBytes === null) {
    return Status.InvalidMemoryAccess;
  }
  const cluster = clusterOf(vm, upstream);
  if (cluster === null) return Status.ParseFailure;
  const metadata = decodePairs(metadataBytes);
  if (metadata === null || !metadata.every(([name, value]) => isFieldName(name) && isFieldValue(value))) {
    return Status.BadArgument;
  }
  if (!isPathPart(service) || !isPathPart(method)) return Status.BadArgument;
  return {
    cluster,
    service,
    method,
    metadata: metadata.map(([name, value]): Pair => [name.toLowerCase(), value]),
    timeoutMs,
  };
}

/** The name of a cluster, or an `envoy.config.core.v3.GrpcService` that names one. */
function clusterOf(vm: WasmVm, upstream: Buffer): string | null {
  const { grpc } = vm.services;
  const name = upstream.toString("utf8");
  if (grpc.hasCluster(name)) return name;
  try {
    const { targetSpecifier } = fromBinary(GrpcServiceSchema, upstream);
    if (targetSpecifier.case !== "envoyGrpc" || !grpc.hasCluster(targetSpecifier.value.clusterName)) return null;
    return targetSpecifier.value.clusterName;
  } catch {
    return null;
  }
}

function isPathPart(text: string): boolean {
  return /^[\x21-\x2e\x30-\x7e]+$/.test(text);
}
