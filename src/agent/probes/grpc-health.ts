// One call of grpc.health.v1.Health/Check over plaintext HTTP/2, with a chosen source address, which the gRPC library
// does not offer. Messages are two fields, so they are coded by hand.
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import type { ProbeResult } from "./prober.ts";

export interface GrpcHealthOptions {
  readonly host: string;
  readonly port: number;
  readonly service: string;
  readonly timeoutMs: number;
  readonly localAddress: string | undefined;
}

const maxMessageBytes = 1024;
const serving = 1;

export function checkGrpcHealth(options: GrpcHealthOptions): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const { host, port, localAddress } = options;
    const session: ClientHttp2Session = connectHttp2(`http://${host.includes(":") ? `[${host}]` : host}:${port}`, {
      createConnection: () => connect({ host, port, ...(localAddress !== undefined && { localAddress }) }),
    });
    const finish = (result: ProbeResult): void => {
      clearTimeout(deadline);
      session.destroy();
      resolve(result);
    };
    const failed = (reason: string): void => finish({ status: 500, reason });
    const deadline = setTimeout(() => failed(`no answer within ${options.timeoutMs} ms`), options.timeoutMs);
    session.on("error", (error) => failed(error.message));
    const stream = session.request({
      ":method": "POST",
      ":path": "/grpc.health.v1.Health/Check",
      "content-type": "application/grpc",
      te: "trailers",
      "user-agent": "outrigger-probe",
    });
    let body = Buffer.alloc(0);
    let grpcStatus: unknown;
    stream.on("response", (headers) => {
      grpcStatus = headers["grpc-status"];
    });
    stream.on("trailers", (trailers) => {
      grpcStatus = trailers["grpc-status"] ?? grpcStatus;
    });
    stream.on("data", (chunk: Buffer) => {
      if (body.length + chunk.length > maxMessageBytes) failed("the answer is too large");
      else body = Buffer.concat([body, chunk]);
    });
    stream.on("error", (error) => failed(error.message));
    stream.on("end", () => {
      if (grpcStatus !== undefined && String(grpcStatus) !== "0") return failed(`gRPC status ${String(grpcStatus)}`);
      const status = decodeStatus(body);
      if (status === serving) finish({ status: 200 });
      else failed(`health status ${status ?? "unknown"}`);
    });
    stream.end(encodeRequest(options.service));
  });
}

/** HealthCheckRequest { string service = 1; } in one gRPC frame. */
function encodeRequest(service: string): Buffer {
  const name = Buffer.from(service.slice(0, 120), "utf8");
  const message = name.length === 0 ? name : Buffer.concat([Buffer.of(0x0a, name.length), name]);
  const frame = Buffer.alloc(5);
  frame.writeUInt32BE(message.length, 1);
  return Buffer.concat([frame, message]);
}

/** HealthCheckResponse { ServingStatus status = 1; }; undefined when there is no whole message. */
function decodeStatus(body: Buffer): number | undefined {
  if (body.length < 5 || body[0] !== 0) return undefined;
  const message = body.subarray(5, 5 + body.readUInt32BE(1));
  if (message.length === 0) return 0;
  return message[0] === 0x08 ? message[1] : undefined;
}
