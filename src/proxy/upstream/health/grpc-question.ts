// The question of a gRPC health check: `Check` of grpc.health.v1.Health,
// https://github.com/grpc/grpc/blob/master/doc/health-checking.md. The two messages have one field each.
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import type { GrpcHealthCheck } from "../../config/health-check.ts";
import { failure, passed } from "./probe.ts";
import type { ProbeResponse, Question } from "./request-probe.ts";

const servingStatus = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const serving = 1;

export function grpcQuestion(check: GrpcHealthCheck, authority: string): Question {
  const body = request(check.serviceName);
  return {
    method: "POST",
    authority,
    path: "/grpc.health.v1.Health/Check",
    fill: (headers) => {
      headers.add("host", authority);
      headers.add("content-type", "application/grpc");
      headers.add("te", "trailers");
      headers.add("user-agent", "Envoy/HC");
      for (const [name, value] of check.headers) headers.add(name, value);
    },
    body,
    keptBytes: 1024,
    judge,
  };
}

/** HealthCheckRequest { string service = 1 } in a gRPC frame. */
function request(service: string): Buffer {
  const writer = new BinaryWriter();
  if (service !== "") writer.tag(1, 2).string(service);
  const message = writer.finish();
  const frame = Buffer.alloc(5 + message.length);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, 5);
  return frame;
}

function judge({ head, body, trailers }: ProbeResponse): ReturnType<Question["judge"]> {
  if (head.status !== 200) return failure("refused", `it answered ${head.status}`);
  const status = trailers?.get("grpc-status") ?? head.headers.get("grpc-status");
  if (status === undefined) return failure("refused", "it answered without a gRPC status");
  if (status !== "0") {
    const message = percentDecoded(trailers?.get("grpc-message") ?? head.headers.get("grpc-message") ?? "");
    return failure("refused", `it answered with the gRPC status ${status}${message === "" ? "" : `: ${message}`}`);
  }
  const health = servingStatusOf(body);
  if (health === serving) return passed;
  return failure(
    "refused",
    health < 0 ? "its answer is no health message" : `it is ${servingStatus[health] ?? health}`,
  );
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // Not what the specification says; shown as it is.
    return text;
  }
}

/** HealthCheckResponse { ServingStatus status = 1 }; -1: that is not what the bytes say. */
function servingStatusOf(body: Buffer): number {
  // A compressed message was not asked for.
  if (body.length < 5 || body[0] !== 0 || body.readUInt32BE(1) !== body.length - 5) return -1;
  try {
    const reader = new BinaryReader(body.subarray(5));
    let status = 0;
    while (reader.pos < reader.len) {
      const [field, type] = reader.tag();
      if (field === 1 && type === 0) status = reader.int32();
      else reader.skip(type, field);
    }
    return status;
  } catch {
    // Bytes of the peer: not a message.
    return -1;
  }
}
