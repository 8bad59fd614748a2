// For tests: a server of @grpc/grpc-js with unary methods, as an independent gRPC peer.
import {
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
} from "@grpc/grpc-js";

export interface GrpcServer {
  readonly port: number;
  stop(): void;
}

/** Serves one method with a function that answers, or throws a status as `{ code, details }`. */
export async function grpcServer<I, O>(
  method: MethodDefinition<I, O>,
  answer: (request: I, call: ServerUnaryCall<I, O>) => O | Promise<O>,
): Promise<GrpcServer> {
  const server = new Server();
  const handle = (call: ServerUnaryCall<I, O>, callback: sendUnaryData<O>): void => {
    Promise.resolve()
      .then(() => answer(call.request, call))
      .then(
        (value) => callback(null, value),
        (error: { code: number; details: string }) => callback(error),
      );
  };
  server.addService({ method }, { method: handle });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { port, stop: () => server.forceShutdown() };
}
