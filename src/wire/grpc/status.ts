// Status codes of gRPC that this side gives itself: https://github.com/grpc/grpc/blob/master/doc/statuscodes.md
export const GrpcStatus = {
  Ok: 0,
  Unknown: 2,
  DeadlineExceeded: 4,
  PermissionDenied: 7,
  ResourceExhausted: 8,
  Unimplemented: 12,
  Internal: 13,
  Unavailable: 14,
  Unauthenticated: 16,
} as const;
