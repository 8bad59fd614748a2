// envoy.config.core.v3.GrpcService: which cluster a filter asks, and how.
import type { GrpcService } from "#wire/gen/envoy/config/core/v3/grpc_service_pb.ts";
import type { Problems } from "../problems.ts";
import { milliseconds } from "./values.ts";

export interface GrpcServiceSettings {
  readonly cluster: string;
  /** Empty: the cluster's name. */
  readonly authority: string;
  readonly timeoutMs: number;
  /** Names in lower case. */
  readonly metadata: readonly { readonly name: string; readonly value: string }[];
}

/** Null after a problem. `defaultTimeoutMs` applies when the service names none. */
export function decodeGrpcService(
  service: GrpcService | undefined,
  defaultTimeoutMs: number,
  path: string,
  problems: Problems,
): GrpcServiceSettings | null {
  const target = service?.targetSpecifier;
  if (service === undefined || target?.case === undefined) {
    problems.invalid(path, "names no service");
    return null;
  }
  if (target.case !== "envoyGrpc") {
    problems.unsupported(`${path}.google_grpc`, "a gRPC client of its own, without a cluster,");
    return null;
  }
  const { clusterName, authority, retryPolicy } = target.value;
  if (clusterName === "") problems.invalid(`${path}.envoy_grpc.cluster_name`, "is missing");
  if (service.retryPolicy !== undefined || retryPolicy !== undefined)
    problems.leftOut(`${path}.retry_policy`, "retrying");
  return {
    cluster: clusterName,
    authority,
    timeoutMs: milliseconds(service.timeout, defaultTimeoutMs),
    metadata: service.initialMetadata.map(({ key, value }) => ({ name: key.toLowerCase(), value })),
  };
}
