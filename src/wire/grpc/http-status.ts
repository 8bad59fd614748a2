// The HTTP status that stands for a gRPC status where only statuses of HTTP are understood, as Envoy maps them.

const statuses: readonly number[] = [
  200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401,
];

/** `grpcStatus`: the value of the header. What is no known status is an error of the server. */
export function httpStatusOfGrpc(grpcStatus: string): number {
  return statuses[Number(grpcStatus)] ?? 500;
}
